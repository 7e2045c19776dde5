/** One way to send a shipment, as the model reads it. */
export type Route = {
  name: string;
  /** Distance / 1000 km, mode / 3, load / 10 t, weather, congestion, borders / 5, fuel price / 2 USD. */
  features: number[];
};

/** What is to be sent, and what its owner wants of an answer about it. */
export type Shipment = {
  id: string;
  /** Least evidence of an answer that it is routed on. */
  assurance: "signed" | "attested";
  /** Most days of delay. */
  maxDelay: number;
  routes: Route[];
};

/** By a mode, at these thousand kilometres with so many times ten tonnes. */
const by = (name: string, mode: number, [distance, load]: readonly [number, number]): Route => ({
  name,
  features: [distance, mode, load, 0.3, 0.4, 0.4, 0.8],
});
const road = (place: readonly [number, number]): Route => by("road", 0, place);
const rail = (place: readonly [number, number]): Route => by("rail", 0.333333, place);
const sea = (place: readonly [number, number]): Route => by("sea", 0.666667, place);

const [LINZ, LYON, OSLO] = [
  [1.2, 1.5],
  [1.6, 1.2],
  [3, 2],
] as const;

export const SHIPMENTS: Shipment[] = [
  { id: "S-101 parts to Linz", assurance: "signed", maxDelay: 2, routes: [road(LINZ), rail(LINZ)] },
  { id: "S-102 medicine to Lyon", assurance: "attested", maxDelay: 1, routes: [road(LYON), rail(LYON)] },
  { id: "S-103 machines to Oslo", assurance: "attested", maxDelay: 2, routes: [rail(OSLO), sea(OSLO)] },
];
