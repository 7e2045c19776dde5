/** The look of receipts and reports. Colours tell statuses and verdicts apart; their words do so, too. */
export const STYLE = `.pass,.verified{color:var(--pass)}.fail,.failed{color:var(--fail)}.pending,.unverified,.reported{color:var(--open)}
:root{color-scheme:light dark;background:Canvas;color:CanvasText;--pass:#14713d;--fail:#b3261e;--open:#8a5a00}
@media(prefers-color-scheme:dark){:root{--pass:#6fd79b;--fail:#ff8a80;--open:#ffc862}}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{line-height:1.2}article{border-top:3px solid;margin-top:2rem;padding-top:1rem}
dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}
bdi{overflow-wrap:anywhere;unicode-bidi:isolate}
.data{border-inline-start:4px solid #8888;padding-inline-start:.75rem}
summary{cursor:pointer;min-height:24px}summary span{display:inline-block;min-width:7rem;font-weight:600}
ol.layers{list-style:none;padding:0}ol.layers>li{border-bottom:1px solid #8884;padding:.35rem 0}
ol.times{list-style:none;padding:0 0 0 1rem;border-inline-start:3px solid #8888}ol.times>li{padding:.15rem 0}ol.times strong{margin:0 .35rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8882;padding:.75rem;max-height:24rem;overflow:auto}
table{border-collapse:collapse;width:100%}caption{text-align:start}th,td{text-align:start;vertical-align:top;border-bottom:1px solid #8884;padding:.25rem .5rem .25rem 0;overflow-wrap:anywhere}
section.decision{border-bottom:1px solid #8884;padding-bottom:.5rem}dd.lines{white-space:pre-wrap}
@page{size:A4;margin:18mm}
@media print{:root{color-scheme:light;--pass:#14713d;--fail:#b3261e;--open:#8a5a00}body{font-size:10pt;margin:0;padding:0;max-width:none}pre{max-height:none;overflow:visible}details::details-content{content-visibility:visible}h1,h2,h3,h4{break-after:avoid}tr,dt,li{break-inside:avoid}}
.drop{border:2px dashed #888;border-radius:.5rem;padding:1.5rem}label{display:block;margin:.75rem 0}`;
