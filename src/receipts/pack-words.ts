/**
 * Texts that receipts have alike: the preset dictionary of their stored form (RFC 1951, as zlib presets one). Rows are packed
 * with it, so not one character of it ever changes. Another dictionary has another number in `packed.ts`.
 */
export const PACK_WORDS = `
"Not shown: that the seller worked on exactly this request.","Not shown: that the answer is what the seller produced
.","Not shown: that the computation was done correctly.","Not shown: that money moved on chain.","Not shown: that th
e result was anchored on chain.","Simulated: a development machine made the root of trust; no hardware vendor vouche
s for it.","That the payer agreed to these terms: its signature is not in the file. The buyer adds it once it is use
d up.","That the connection ended in the enclave. The attestation names no TLS certificate, and the connection had n
o TLS.","Times are the buyer's and the seller's clocks, no third party's.","That the model's answer is right or good
.","Settlement is as one node of the chain reported it to the judge; ask a node you trust for the transaction to con
firm it.","Inclusion is as one node of the chain reported it to the judge; ask a node you trust for the transactio
n to confirm it.","Development setup: the proof's key was made by one party, who could have kept what forges proofs.
","Not shown, only told by the file: that money moved on chain.","That the connection ended in the enclave. The atte
station names no TLS certificate.","Not shown: that these model weights were used.","Not shown: that the payment i
s what the offer asked for and was for this request.","That the request, whose bytes are left out, has the SHA-256 i
n the file: only its Keccak-256 was signed.","That the response, whose bytes are left out, has the SHA-256 in the fi
le: only its Keccak-256 was signed.","That the amount charged fits the work: the seller named it, up to what was sig
ned.","That the payment's terms are these: format 1 binds the request to the authorization's nonce, and not to amoun
t, payer, payee, token, validity or offer.","Not shown: that the seller runs on attested hardware.","Not shown: tha
t the seller runs known code.","Not shown: that the attestation was made for this buyer and recently.","In what mach
ine the signing key is, and who else holds it: your policy names the key itself, and nothing more.","Anything that t
he seller's signature does not cover: of the answer all but its text or, if it calls tools, the calls: no finish rea
son, usage, model, refusal, images or citations.","Anything that the seller's signature does not cover: of the reque
st all but model, messages, temperature, max_tokens, stop, tools, response_format, web_search and reasoning_effort
, so no tool_choice, stream, top_p, seed, n, user, logit_bias, penalties, functions or max_completion_tokens.","Anyt
hing that the seller's signature does not cover: of messages all but role, content, tool_calls and tool_call_id, s
o no names.","Anything that the seller's signature does not cover: of calls all but id, type, name and arguments.","
Anything that the seller's signature does not cover: of a content's parts all but their text, type and file name, s
o no bytes of attachments.","Anything that the seller's signature does not cover: whether a field with an empty valu
e or a temperature of 0 was there at all.","That the answer repeats the payment's hash: its protocol has no field fo
r it. The request carries it, and the signature, if it passed, covers that.","platform":{"status":"pass","code":"ok"
,"note":"The document's chain and signature hold, under a devnet root: simulated hardware."},"code":{"status":"pass"
,"code":"ok","note":"Every measurement equals a set that the policy accepts."},"key":{"status":"pass","code":"ok","n
ote":"The signing key's hash is inside the attestation of known code. The attestation names no TLS certificate, an
d the connection had no TLS."},"freshness":{"status":"pass","code":"ok","note":"The document answers the buyer's non
ce and was recent."},"request":{"status":"skip","code":"not_signed","note":"No signature that passed covers the requ
est."},"response":{"status":"fail","code":"output_hash_mismatch","note":"The bytes received are not the bytes the se
ller signed."},"model":{"status":"pass","code":"ok","note":"The model file's digest is measured and equals the polic
y's."},"computation":{"status":"skip","code":"no_evidence","note":"No proof and no re-execution of the computation."
},"payment":{"status":"pass","code":"ok","note":"The authorization is exactly what the offer asked for, and the requ
est carries its hash."},"settlement":{"status":"pending","code":"awaiting_settlement","note":"The payment was not se
en on chain yet."},"inclusion":{"status":"pending","code":"awaiting_inclusion","note":"The answer was not seen unde
r a root on chain yet."},"settlement":{"status":"pass","code":"ok","note":"The transfer is in transaction 0x."},"req
uest":{"status":"pass","code":"ok","note":"The signed request hash is that of the bytes sent."},"response":{"status"
:"pass","code":"ok","note":"The seller's known key signed exactly these request and response bytes."},"inclusion":{"
status":"pass","code":"ok","note":"The answer is under the root in transaction 0x."},"computation":{"status":"pendin
g","code":"awaiting_proof","note":"The seller has not delivered its proof of the computation yet."},"computation":{"
status":"fail","code":"proof_invalid","note":"The proof does not verify."},"computation":{"status":"pass","code":"de
velopment_proof","note":"The pinned model was proved to compute this answer from this request, in fixed point of 2^-
16 within 6.7e-3 (largest difference to floating point in 1000 samples: 1.7e-3). Development setup: the key's make
r could forge proofs."},"key":{"status":"pass","code":"ok","note":"The signing key's hash is inside the attestatio
n of known code. The attestation names no TLS certificate."},"settlement":{"status":"reported","code":"settlement_re
ported","note":"The file tells this, and it was not read from the chain here: The transfer is in transaction 0x."},"
inclusion":{"status":"skip","code":"no_evidence","note":"The result's hashes are not anchored on chain."},"model":{"
status":"skip","code":"body_redacted","note":"The answer's bytes are redacted, so the model it names cannot be read.
"},"payment":{"status":"skip","code":"bodies_redacted","note":"Request and answer are both redacted: nothing shows w
hat the payment was for."},"settlement":{"status":"reported","code":"settlement_reported","note":"The file tells thi
s, and it was not read from the chain here: The transfer of 7000 base units, of at most 10000, is in transaction 0x.
"},"payment":{"status":"pass","code":"ok","note":"The voucher grants exactly what the offer asked for, and the reque
st carries its hash."},"settlement":{"status":"reported","code":"settlement_reported","note":"The file tells this, a
nd it was not read from the chain here: The channel's receiver has claimed 60000 base units, this voucher's sum amon
g them."},"model":{"status":"skip","code":"not_answered","note":"The seller answered with status 500, by no model."}
,"response":{"status":"fail","code":"status_not_ok","note":"The seller answered with status 500."},"platform":{"stat
us":"skip","code":"no_attestation","note":"The seller gave no attestation."},"code":{"status":"skip","code":"platfor
m_not_verified","note":"Nothing in the attestation counts, because its platform did not pass."},"key":{"status":"pas
s","code":"key_alone","note":"The signing key is one that the policy names. No attestation says in what machine it i
s."},"freshness":{"status":"skip","code":"platform_not_verified","note":"Nothing in the attestation counts, becaus
e its platform did not pass."},"model":{"status":"skip","code":"platform_not_verified","note":"Nothing in the attest
ation counts, because its platform did not pass."},"response":{"status":"pass","code":"ok","note":"The seller's know
n key signed exactly this request (form V1, V2, V3, V4) and the answer's text."},{"kind":"tee.nitro","document":"","
nonce":"","publicKey":"","fetchedAt":"2026-11-28T"},{"kind":"model.manifest","manifest":""},{"kind":"signature.tee",
"teeId":"0x","requestHash":"","outputHash":"","timestamp":1795868846,"signature":""},{"kind":"settlement.x402","netw
ork":"eip155:31337","outcome":"settled","transaction":"0x","blockNumber":"10","blockHash":"0x","blockTime":179586884
6,"logs":[{"address":"0x","topics":["0x","0x","0x"],"data":"0x","logIndex":0},{"address":"0x","topics":["0x","0x","0
x"],"data":"0x","logIndex":1}],"signature":"0x"},{"kind":"inclusion.merkle","leaf":{"teeId":"0x","inputHash":"0x","o
utputHash":"0x","signature":"0x","timestamp":1795868846},"path":[],"root":"0x","count":1,"network":"eip155:31337","t
ransaction":"0x","blockNumber":"13","blockHash":"0x","blockTime":1795868847,"log":{"address":"0x","topics":["0x","0x
"],"data":"0x","logIndex":0}},{"kind":"zk.groth16","key":{"type":"proof402/groth16-key","version":1,"curve":"bn254",
"setup":"development","modelSha256":"","commitment":null,"scale":16,"accumulatorBits":44,"input":{"name":"features",
"count":8},"outputs":[{"name":"probabilities","head":"softmax","from":0,"count":3},{"name":"class","head":"argmax","
from":0,"count":3}],"results":3,"tolerance":0.006703402991490748,"largestDifference":0.001675850747872687,"sample":{
"count":1000,"range":2},"alpha1":"","beta2":"","gamma2":"","delta2":"","ic":["","","","","","","","","","","","","",
""]},"proof":"","signals":["","27438599505","","","","","40632","48497","","117965","138","",""]},{"kind":"signature
.key","publicKey":""},{"kind":"signature.","teeId":"0x","requestHash":"","outputHash":"","timestamp":1795869213,"sig
nature":""},{"scheme":","method":","network":"eip155:31337","asset":"0x","amount":"10000","payer":"0x","payTo":"0x",
"nonce":"0x","validAfter":0,"validBefore":1795869327,"authorizationHash":"0x","salt":"0x"}{"scheme":","network":"eip
155:31337","asset":"0x","decimals":6,"amount":"10000","payTo":"0x","maxTimeoutSeconds":120,"extra":{"name":"USD Coin
","version":"2"},"offerHash":""}{"scheme":","method":","network":"eip155:31337","asset":"0x","amount":"10000","payer
":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":1795869328,"authorizationHash":"0x","salt":"0x"}{"sche
me":","network":"eip155:31337","asset":"0x","decimals":6,"amount":"10000","payTo":"0x","maxTimeoutSeconds":120,"extr
a":{"name":"USD Coin","version":"2","assetTransferMethod":","facilitatorAddress":"0x"},"offerHash":""}{"scheme":","m
ethod":","network":"eip155:31337","asset":"0x","amount":"10000","payer":"0x","payTo":"0x","nonce":"0x","validAfter":
0,"validBefore":1795869329,"authorizationHash":"0x","facilitator":"0x","salt":"0x"}{"scheme":","network":"eip155:313
37","asset":"0x","decimals":6,"amount":"10000","payTo":"0x","maxTimeoutSeconds":120,"extra":{"name":"USD Coin","vers
ion":"2","assetTransferMethod":","facilitatorAddress":"0x"},"offerHash":""}{"scheme":","method":","network":"eip155:
31337","asset":"0x","amount":"10000","payer":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":4294967295,
"authorizationHash":"0x","cumulative":"40000","channel":{"payerAuthorizer":"0x","receiverAuthorizer":"0x","withdrawD
elay":900,"salt":"0x"},"salt":"0x","previous":"30000"}{"scheme":","network":"eip155:31337","asset":"0x","decimals":6
,"amount":"10000","payTo":"0x","maxTimeoutSeconds":120,"extra":{"name":"USD Coin","version":"2","receiverAuthorizer"
:"0x","withdrawDelay":900},"offerHash":""}{"scheme":","method":","network":"eip155:31337","asset":"0x","amount":"100
00","payer":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":1795869330,"authorizationHash":"0x"}{"scheme
":","method":","network":"eip155:31337","asset":"0x","amount":"10000","payer":"0x","payTo":"0x","nonce":"0x","validA
fter":0,"validBefore":1795869331,"authorizationHash":"0x","salt":"0x"}{"scheme":","method":","network":"eip155:31337
","asset":"0x","amount":"10000","payer":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":1795869332,"auth
orizationHash":"0x","salt":"0x"}{"scheme":","method":","network":"eip155:31337","asset":"0x","amount":"10000","payer
":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":1795869333,"authorizationHash":"0x","salt":"0x"}{"type
":"proof402/receipt","id":"p402_","later":[{"at":"2026-11-28T","evidence":{"kind":"settlement.x402","network":"eip15
5:31337","outcome":"settled","transaction":"0x","blockNumber":"12","blockHash":"0x","blockTime":1795868846,"logs":[{
"address":"0x","topics":["0x","0x","0x"],"data":"0x","logIndex":0},{"address":"0x","topics":["0x","0x","0x"],"data":
"0x","logIndex":1}],"signature":"0x"}},{"at":"2026-11-28T","evidence":{"kind":"inclusion.merkle","leaf":{"teeId":"0x
","inputHash":"0x","outputHash":"0x","signature":"0x","timestamp":1795868846},"path":[],"root":"0x","count":1,"netwo
rk":"eip155:31337","transaction":"0x","blockNumber":"13","blockHash":"0x","blockTime":1795868847,"log":{"address":"0
x","topics":["0x","0x"],"data":"0x","logIndex":0}}}],"log":{"seq":9,"prev":"","hash":""},"version":2,"core":{"seller
":{"id":"honest","provider":","origin":"http://","keyId":"0x"},"response":{"status":200,"receivedAt":"2026-11-28T","
sha256":"","keccak256":"","body":""},"offer":{"scheme":","network":"eip155:31337","asset":"0x","decimals":6,"amount"
:"10000","payTo":"0x","maxTimeoutSeconds":120,"extra":{"name":"USD Coin","version":"2","assetTransferMethod":"},"off
erHash":""},"evidence":[{"kind":"tee.nitro","document":"","nonce":"","publicKey":"","fetchedAt":"2026-11-28T"},{"kin
d":"model.manifest","manifest":""},{"kind":"signature.tee","teeId":"0x","requestHash":"","outputHash":"","timestamp"
:1795868846,"signature":""}],"request":{"method":"POST","path":"/v2/models/eth-risk/infer","model":"eth-risk","sentA
t":"2026-11-28T","sha256":"","keccak256":"","body":"","nonce":""},"payment":{"scheme":","method":","network":"eip155
:31337","asset":"0x","amount":"10000","payer":"0x","payTo":"0x","nonce":"0x","validAfter":0,"validBefore":1795868966
,"authorizationHash":"0x","salt":"0x"},"listedPrice":{"network":"eip155:31337","asset":"0x","amount":"10000"}}}{"at"
:"2026-11-28T","evaluatedAt":"2026-11-28T","policyHash":"","verifier":{"name":"proof402","version":"0.1.0"},"layers"
:{"wanted":"attested","assurance":"attested","replayed":false,"simulated":true,"verdict":"verified","notProven":[
`.replaceAll("\n", "");
