import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Groth16Key } from "../../../src/evidence/groth16.ts";
import { openModel } from "../../../src/onnx/inference.ts";
import { sampleInputs } from "../../../src/node/zk/fixed-point.ts";
import { evaluate, readProgram, type Program } from "../../../src/node/zk/program.ts";
import { compareWithRuntime } from "../../../src/node/zk/runtime-check.ts";
import {
  float,
  floats,
  graphOf,
  int,
  integers,
  ints,
  modelOf,
  node,
  value,
  type Attribute,
  type Graph,
  type Model,
  type Node,
  type Tensor,
} from "../../support/onnx-messages.ts";

/** How many random graphs are tried; an environment variable asks for more. */
const RUNS = Number(process.env["PROOF402_RUNS"] ?? 4000);

const matrix = floats("w", [3, 3], 1, 2, 3, 4, 5, 6, 7, 8, 9);
const one = (nodes: Node[], constants: Tensor[] = [], more: Graph = {}, model: Model = {}): Uint8Array =>
  modelOf(graphOf(nodes, constants, more), model);
const relu = [node("Relu", ["x"], "y")];

describe("T71: a file from which the runtime could compute something else than the circuit is refused", () => {
  const forged: Record<string, Uint8Array> = {
    "a function of the file's own named Relu": one(
      relu,
      [],
      {},
      {
        functions: [{ name: "Relu", domain: "", input: ["a"], output: ["b"], node: [node("Neg", ["a"], "b")] }],
      },
    ),
    "a function of a domain that nothing uses": one(relu, [], {}, { functions: [{ name: "f", domain: "d" }] }),
    "an operator of another domain": one([{ ...node("Relu", ["x"], "y"), domain: "com.microsoft" }]),
    "an overload": one([{ ...node("Relu", ["x"], "y"), overload: "other" }]),
    "a device configuration": one([{ ...node("Relu", ["x"], "y"), deviceConfigurations: [{}] }]),
    "two versions of the operators": one(
      relu,
      [],
      {},
      {
        opsetImport: [
          { domain: "", version: 17n },
          { domain: "ai.onnx", version: 6n },
        ],
      },
    ),
    "no version of the operators": one(relu, [], {}, { opsetImport: [] }),
    "a version with other broadcasting": one(relu, [], {}, { opsetImport: [{ domain: "", version: 6n }] }),
    "a version to come": one(relu, [], {}, { opsetImport: [{ domain: "", version: 99n }] }),
    "sparse constants": one(relu, [], { sparseInitializer: [{ values: floats("w", [1], 1) }] }),
    training: one(relu, [], {}, { trainingInfo: [{}] }),
    "a constant twice": one([node("MatMul", ["x", "w"], "y")], [matrix, { ...matrix, name: "w" }]),
    "a constant that a node makes too": one([node("Relu", ["x"], "w"), node("MatMul", ["x", "w"], "y")], [matrix]),
    "a value made twice": one([node("Relu", ["x"], "a"), node("Relu", ["x"], "a"), node("Relu", ["a"], "y")]),
    "an input that a node makes": one([node("Relu", ["x"], "x"), node("Relu", ["x"], "y")]),
    "an input twice": one(relu, [], { input: [value("x", [3]), value("x", [3])] }),
    "an output twice": one(relu, [], { output: [value("y", [3]), value("y", [3])] }),
    "a value without a name": one([node("Relu", ["x"], ""), node("Relu", ["x"], "y")]),
    "a name that only looks the same": one([node("Relu", ["\u{feff}x"], "y")]),
    "a segment of a constant": one([node("MatMul", ["x", "w"], "y")], [{ ...matrix, segment: { begin: 0n, end: 9n } }]),
    "numbers in the list of another type": one(
      [node("Add", ["x", "b"], "y")],
      [{ name: "b", dims: [1n], dataType: 1, int32Data: [1] }],
    ),
    "half a number more than the shape": one(
      [node("Add", ["x", "b"], "y")],
      [{ name: "b", dims: [1n], dataType: 1, rawData: new Uint8Array(6) }],
    ),
    "negative dimensions": one(
      [node("MatMul", ["x", "w"], "y")],
      [{ ...floats("w", [], ...Array.from({ length: 9 }, () => 1)), dims: [-3n, -3n] }],
    ),
    "a Gemm that adds the request": one([node("Relu", ["x"], "r"), node("Gemm", ["x", "w", "r"], "y")], [matrix]),
    "a bias for each row": one([node("Gemm", ["x", "w", "c"], "y")], [matrix, floats("c", [3, 1], 1, 2, 3)]),
    "a constant that broadcasts the row": one([node("Add", ["x", "c"], "y")], [floats("c", [3, 1], 1, 2, 3)]),
    "a constant of more dimensions": one([node("Add", ["x", "c"], "y")], [floats("c", [1, 1, 3], 1, 2, 3)]),
    "an Add of three": one([node("Add", ["x", "x", "x"], "y")]),
    "a Relu of two": one([node("Relu", ["x", "x"], "y")]),
    "a Relu with an attribute": one([node("Relu", ["x"], "y", [float("alpha", 2)])]),
    "a Gemm with an attribute it has not": one([node("Gemm", ["x", "w"], "y", [int("broadcast", 1)])], [matrix]),
    "an attribute twice": one([node("Gemm", ["x", "w"], "y", [int("transB", 0), int("transB", 1)])], [matrix]),
    "an attribute of another type": one([node("Gemm", ["x", "w"], "y", [float("transB", 1)])], [matrix]),
    "an attribute whose type says another value": one(
      [node("Gemm", ["x", "w"], "y", [{ name: "alpha", type: 1, i: 2n }])],
      [matrix],
    ),
    "an attribute without a type": one([node("Gemm", ["x", "w"], "y", [{ name: "alpha", f: 2 }])], [matrix]),
    "a function's attribute": one(
      [node("Gemm", ["x", "w"], "y", [{ name: "alpha", type: 1, f: 2, refAttrName: "a" }])],
      [matrix],
    ),
    "a list in place of a number": one([node("Softmax", ["x"], "y", [ints("axis", 1)])]),
    "a Reshape of a constant to the request": one([node("Reshape", ["c", "x"], "y")], [floats("c", [3], 1, 2, 3)]),
    "a Reshape that turns the row": one(
      [node("Reshape", ["x", "s"], "t"), node("Softmax", ["t"], "y")],
      [integers("s", [2], 3, -1)],
    ),
    "a Softmax along an axis of one": one(
      [node("Unsqueeze", ["x", "a"], "u"), node("Softmax", ["u"], "y", [int("axis", 1)])],
      [integers("a", [1], 1)],
    ),
    "a Flatten of all rows": one([node("Flatten", ["x"], "y", [int("axis", 0)])]),
    "a Squeeze of whatever is one": one([node("Squeeze", ["x"], "y")]),
    "an Unsqueeze of the batch": one([node("Unsqueeze", ["x", "a"], "y")], [integers("a", [1], 0)]),
    "the class of a class": one([
      node("ArgMax", ["x"], "c", [int("axis", 1)]),
      node("ArgMax", ["c"], "y", [int("axis", 1)]),
    ]),
    "the largest of numbers that all round to one": one([
      node("Sigmoid", ["x"], "p"),
      node("ArgMax", ["p"], "y", [int("axis", 1)]),
    ]),
    "the last of equal classes": one([node("ArgMax", ["x"], "y", [int("axis", 1), int("select_last_index", 1)])]),
    "an input of another type": one(relu, [], { input: [value("x", [3], 11)] }),
    "a constant of values": one([
      node("Constant", [], "c", [{ name: "value_floats", type: 6, floats: [1, 2, 3] }]),
      node("Add", ["x", "c"], "y"),
    ]),
    "an infinite constant": one([node("Add", ["x", "c"], "y")], [floats("c", [1], Infinity)]),
  };
  test.each(Object.entries(forged))("%s", (_what, file) => {
    expect(() => readProgram(file)).toThrow(expect.objectContaining({ code: "model_not_provable" }));
  });
});

const GEMM = [float("alpha", 0.5), float("beta", -2), int("transB", 1)];
/** Holds a program's numbers against the runtime's, and of classes whether theirs is one of the largest. */
async function expectAgreement(file: Uint8Array, program: Program): Promise<void> {
  const model = await openModel(file, { name: "m" });
  try {
    for (const input of sampleInputs(5, program.input.count, 3)) {
      const answer = await model.run([{ name: "x", datatype: "FP32", shape: [1, input.length], data: input }]);
      const own = evaluate(program, input);
      const near = 1e-4 * Math.max(1, ...own.map(Math.abs));
      const differing = program.outputs.filter((output) => {
        const data = answer.find(({ name }) => name === output.name)!.data.map(Number);
        const numbers = own.slice(output.from, output.from + output.count);
        if (output.head === "argmax") return !(Math.max(...numbers) - numbers[data[0]!]! < near);
        if (output.head !== "linear") return false;
        return data.length !== numbers.length || data.some((number, at) => !(Math.abs(number - numbers[at]!) < near));
      });
      expect(differing).toEqual([]);
    }
  } finally {
    await model.close();
  }
}

describe("what is understood is what the runtime computes:", () => {
  const bias = floats("b", [1, 3], 0.5, -1, 2);
  const read: Record<string, Uint8Array> = {
    "Gemm with all its attributes": one([node("Gemm", ["x", "w", "b"], "y", GEMM)], [matrix, bias]),
    "Gemm whose bias is left out": one([node("Gemm", ["x", "w", ""], "y")], [matrix]),
    "a constant first": one([node("Add", ["b", "x"], "y")], [bias]),
    "reshapes, and a MatMul of more dimensions": one(
      [
        node("Unsqueeze", ["x", "a"], "u"),
        node("MatMul", ["u", "w"], "m"),
        node("Mul", ["m", "b"], "n"),
        node("Squeeze", ["n", "a"], "s"),
        node("Reshape", ["s", "t"], "r"),
        node("Flatten", ["r"], "y"),
      ],
      [matrix, bias, integers("a", [1], 1), integers("t", [3], 0, -1, 3)],
    ),
    "axes as attributes of older operators": one(
      [node("Unsqueeze", ["x"], "u", [ints("axes", 1)]), node("Squeeze", ["u"], "y", [ints("axes", -2)])],
      [],
      {},
      { opsetImport: [{ domain: "", version: 11n }] },
    ),
    "a constant by a node": one([
      node("Constant", [], "c", [{ name: "value", type: 4, t: bias }]),
      node("Add", ["x", "c"], "y"),
    ]),
    "the class of probabilities": one(
      [node("Softmax", ["x"], "p"), node("ArgMax", ["p"], "y", [int("axis", -1)])],
      [],
      { output: [value("y", [1], 7)] },
    ),
    "a constant among the inputs": one([node("MatMul", ["x", "w"], "y")], [matrix], {
      input: [value("x", [3]), { name: "w", type: { value: { case: "tensorType", value: { elemType: 1 } } } }],
    }),
    "a set of operators that nothing uses": one(
      relu,
      [],
      {},
      {
        opsetImport: [
          { domain: "", version: 17n },
          { domain: "ai.onnx.ml", version: 3n },
        ],
      },
    ),
  };
  test.each(Object.entries(read))("%s", async (_what, file) => {
    await expectAgreement(file, readProgram(file));
  });

  const tensor = (name: string) =>
    fc.array(fc.constantFrom<number>(1, 3, 3), { maxLength: 3 }).map((shape) => {
      const count = shape.reduce((product, dim) => product * dim, 1);
      return floats(name, shape, ...Array.from({ length: count }, (_, at) => ((at * 7 + shape.length) % 11) - 5));
    });
  const shapes = fc
    .array(fc.constantFrom(-2, -1, 0, 1, 2, 3), { minLength: 1, maxLength: 3 })
    .map((data) => integers("s", [data.length], ...data));
  const attribute: fc.Arbitrary<Attribute> = fc.constantFrom(
    int("axis", 0),
    int("axis", 1),
    int("axis", -1),
    int("axis", 2),
    int("keepdims", 0),
    int("allowzero", 1),
    int("transB", 1),
    int("transA", 1),
    float("alpha", 0.5),
    float("beta", 3),
    ints("axes", 1),
    ints("axes", -1),
    ints("axes", 0),
    ints("axes", 1, 2),
  );
  const takes: Record<string, readonly string[]> = {
    Gemm: ["w", "v"],
    MatMul: ["w"],
    Add: ["v"],
    Mul: ["v"],
    Relu: [],
    Identity: [],
    Flatten: [],
    Reshape: ["s"],
    Squeeze: ["s"],
    Unsqueeze: ["s"],
    Softmax: [],
    ArgMax: [],
    Sigmoid: [],
  };
  /** A value once in so many times, else null. */
  const rarely = <T>(times: number, values: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
    fc.oneof({ weight: times - 1, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: values });
  const anyName = fc.constantFrom("x", "a", "b", "w", "v", "s", "");
  /** A node that mostly reads what is before it, and mostly constants where it takes them. */
  const step = (before: string, output: string): fc.Arbitrary<Node> =>
    fc
      .tuple(
        fc.constantFrom(...Object.keys(takes)),
        rarely(3, attribute),
        fc.tuple(rarely(12, anyName), rarely(12, anyName), rarely(12, anyName)),
        fc.integer({ min: 0, max: 9 }),
      )
      .map(([op, one_, others, odd]) => {
        const usual = [before, ...(takes[op] ?? [])];
        const inputs = (odd === 0 ? usual.toReversed() : odd === 1 ? usual.slice(0, -1) : usual).map(
          (name, at) => others[at] ?? name,
        );
        return node(op, inputs.length === 0 ? [before] : inputs, output, one_ === null ? [] : [one_]);
      });
  const graph = fc.record({
    nodes: fc.tuple(step("x", "a"), step("a", "b"), step("b", "y")),
    constants: fc.tuple(tensor("w"), tensor("v"), shapes),
    version: fc.constantFrom(7n, 9n, 11n, 13n, 17n, 21n),
    outputs: fc.constantFrom(["y"], ["y", "a"], ["b"]),
  });

  test("random graphs are refused, or read as the runtime reads them", async () => {
    let read = 0;
    await fc.assert(
      fc.asyncProperty(graph, async ({ nodes, constants, version, outputs }) => {
        const file = one(
          nodes,
          constants,
          { output: outputs.map((name) => ({ name })) },
          {
            irVersion: 7n,
            opsetImport: [{ domain: "", version }],
          },
        );
        const program = programOf(file);
        if (program === null) return;
        const runs = await openModel(file, { name: "m" }).then(
          (model) => model.close().then(() => true),
          () => false,
        );
        if (!runs) return;
        read += 1;
        await expectAgreement(file, program);
      }),
      { numRuns: RUNS },
    );
    expect(read).toBeGreaterThan(RUNS / 200);
  }, 600_000);
});

function programOf(file: Uint8Array): Program | null {
  try {
    return readProgram(file);
  } catch {
    return null;
  }
}

test("T71: a circuit of another model than the runtime runs gets no key", async () => {
  const program = readProgram(one([node("MatMul", ["x", "w"], "y")], [matrix]));
  const key = { scale: 16, outputs: program.outputs, tolerance: 1e-3, sample: { count: 10, range: 2 } } as Groth16Key;
  const other = (...numbers: number[]) => one([node("MatMul", ["x", "w"], "y")], [floats("w", [3, 3], ...numbers)]);
  await compareWithRuntime(other(1, 2, 3, 4, 5, 6, 7, 8, 9), program, key);
  const refused = expect.objectContaining({ code: "model_not_provable" }) as Error;
  await expect(compareWithRuntime(other(1, 2, 3, 4, 5, 6, 7, 8, 9.01), program, key)).rejects.toThrow(refused);
  const more = one([node("MatMul", ["x", "w"], "y"), node("Relu", ["x"], "z")], [matrix], {
    output: [value("y", [3]), value("z", [3])],
  });
  await expect(compareWithRuntime(more, program, key)).rejects.toThrow(refused);
});
