/** Generated from DevRelay.sol by scripts/compile-contracts.ts. */
export const devRelay = {
  "source": "DevRelay.sol",
  "sourceSha256": "b72aa691f9cecd50ca9a411279cdcb18380255d13e7de6612c58f49fdbf3bf36",
  "compiler": "0.8.37+commit.f401782d.Emscripten.clang",
  "settings": {
    "optimizer": {
      "enabled": true,
      "runs": 200
    },
    "viaIR": true,
    "evmVersion": "cancun",
    "metadata": {
      "bytecodeHash": "none"
    }
  },
  "abi": [
    {
      "anonymous": false,
      "inputs": [
        {
          "indexed": true,
          "internalType": "bytes32",
          "name": "merkleRoot",
          "type": "bytes32"
        },
        {
          "indexed": false,
          "internalType": "uint256",
          "name": "batchSize",
          "type": "uint256"
        },
        {
          "indexed": false,
          "internalType": "bytes",
          "name": "walrusBlobId",
          "type": "bytes"
        }
      ],
      "name": "BatchSettlement",
      "type": "event"
    },
    {
      "inputs": [
        {
          "internalType": "bytes32",
          "name": "merkleRoot",
          "type": "bytes32"
        },
        {
          "internalType": "uint256",
          "name": "batchSize",
          "type": "uint256"
        },
        {
          "internalType": "bytes",
          "name": "walrusBlobId",
          "type": "bytes"
        }
      ],
      "name": "batchSettle",
      "outputs": [],
      "stateMutability": "nonpayable",
      "type": "function"
    },
    {
      "inputs": [
        {
          "internalType": "bytes32[]",
          "name": "proof",
          "type": "bytes32[]"
        },
        {
          "internalType": "bytes32",
          "name": "root",
          "type": "bytes32"
        },
        {
          "internalType": "bytes32",
          "name": "leaf",
          "type": "bytes32"
        }
      ],
      "name": "verifyProof",
      "outputs": [
        {
          "internalType": "bool",
          "name": "",
          "type": "bool"
        }
      ],
      "stateMutability": "pure",
      "type": "function"
    }
  ],
  "bytecode": "0x6080806040523460155761023e908161001a8239f35b5f80fdfe6080806040526004361015610012575f80fd5b5f3560e01c9081631b243ae61461012e5750634bc935d714610032575f80fd5b3461012a57606036600319011261012a5760043567ffffffffffffffff811161012a573660238201121561012a57806004013567ffffffffffffffff811161012a576024820191602436918360051b01011161012a57604435905f925b8184106100a55760208360405190602435148152f35b90916001906100b58585856101d7565b358110156100f6576100c88585856101d7565b3560405190602082019283526040820152604081526100e86060826101fb565b5190205b930192919061008f565b6101018585856101d7565b359060405190602082019283526040820152604081526101226060826101fb565b5190206100ec565b5f80fd5b3461012a57606036600319011261012a5760443567ffffffffffffffff811161012a573660238201121561012a5780600401359167ffffffffffffffff831161012a57366024848401011161012a578260247fc2aff8d8a10a4543baabf39bd9ff45e7fc3881d19098df350a3b7f339e9111279381358452604060208501528260408501520160608301375f6060848301015260608160043594601f80199101168101030190a2005b91908110156101e75760051b0190565b634e487b7160e01b5f52603260045260245ffd5b90601f8019910116810190811067ffffffffffffffff82111761021d57604052565b634e487b7160e01b5f52604160045260245ffdfea164736f6c6343000825000a",
  "runtime": "0x6080806040526004361015610012575f80fd5b5f3560e01c9081631b243ae61461012e5750634bc935d714610032575f80fd5b3461012a57606036600319011261012a5760043567ffffffffffffffff811161012a573660238201121561012a57806004013567ffffffffffffffff811161012a576024820191602436918360051b01011161012a57604435905f925b8184106100a55760208360405190602435148152f35b90916001906100b58585856101d7565b358110156100f6576100c88585856101d7565b3560405190602082019283526040820152604081526100e86060826101fb565b5190205b930192919061008f565b6101018585856101d7565b359060405190602082019283526040820152604081526101226060826101fb565b5190206100ec565b5f80fd5b3461012a57606036600319011261012a5760443567ffffffffffffffff811161012a573660238201121561012a5780600401359167ffffffffffffffff831161012a57366024848401011161012a578260247fc2aff8d8a10a4543baabf39bd9ff45e7fc3881d19098df350a3b7f339e9111279381358452604060208501528260408501520160608301375f6060848301015260608160043594601f80199101168101030190a2005b91908110156101e75760051b0190565b634e487b7160e01b5f52603260045260245ffd5b90601f8019910116810190811067ffffffffffffffff82111761021d57604052565b634e487b7160e01b5f52604160045260245ffdfea164736f6c6343000825000a"
} as const;
