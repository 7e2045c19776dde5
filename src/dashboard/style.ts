import { STYLE as RECEIPTS } from "../pages/style.ts";

/** The frame of every page. */
const FRAME = `body{max-width:72rem}
.skip{position:absolute;left:-999rem}.skip:focus{position:static}
header nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;padding:0;margin:0}
header nav a{display:inline-block;padding:.35rem 0}header nav a[aria-current]{font-weight:700}
.mode{margin:.25rem 0}:focus-visible{outline:3px solid;outline-offset:2px}
.lazy{content-visibility:auto;contain-intrinsic-size:auto 2200px}.wide{overflow-x:auto}.wide th,.wide td{overflow-wrap:break-word;min-width:4rem;max-width:24rem}.wide time{white-space:nowrap}.wide td.sum{min-width:7rem;overflow-wrap:anywhere}.wide bdi{overflow-wrap:anywhere}`;

/** Colours of states beside the verdicts'. */
const STATES = `.approved,.done,.settled{color:var(--pass)}.declined,.damaged{color:var(--fail)}.open,.undecided,.invoking{color:var(--open)}`;

const FORMS = `form.filters{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:end}form.filters label{display:block;margin:0}
input,select,button{font:inherit;min-height:2rem}button{padding:.25rem 1rem;cursor:pointer}form.answer{display:flex;gap:1rem;margin:1rem 0}
.warn{border-inline-start:4px solid var(--open);padding-inline-start:.75rem}
@media print{header,form,.skip,nav.more{display:none}.wide{overflow:visible}.lazy{content-visibility:visible}}`;

/** The style sheet of every page. */
export const STYLE = [RECEIPTS, FRAME, STATES, FORMS].join("\n");
