/** Generated from LogRoots.sol by scripts/compile-contracts.ts. */
export const logRoots = {
  "source": "LogRoots.sol",
  "sourceSha256": "f95721d56acc9bcba496356f3299bb4649aeecc87c3ac68f486a1ddfd1e64a21",
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
      "inputs": [
        {
          "internalType": "uint64",
          "name": "entries",
          "type": "uint64"
        }
      ],
      "name": "NotLonger",
      "type": "error"
    },
    {
      "anonymous": false,
      "inputs": [
        {
          "indexed": true,
          "internalType": "address",
          "name": "publisher",
          "type": "address"
        },
        {
          "indexed": true,
          "internalType": "bytes32",
          "name": "name",
          "type": "bytes32"
        },
        {
          "indexed": false,
          "internalType": "uint64",
          "name": "entries",
          "type": "uint64"
        },
        {
          "indexed": false,
          "internalType": "bytes32",
          "name": "root",
          "type": "bytes32"
        }
      ],
      "name": "Published",
      "type": "event"
    },
    {
      "inputs": [
        {
          "internalType": "address",
          "name": "publisher",
          "type": "address"
        },
        {
          "internalType": "bytes32",
          "name": "name",
          "type": "bytes32"
        }
      ],
      "name": "heads",
      "outputs": [
        {
          "internalType": "uint64",
          "name": "entries",
          "type": "uint64"
        },
        {
          "internalType": "uint64",
          "name": "at",
          "type": "uint64"
        },
        {
          "internalType": "bytes32",
          "name": "root",
          "type": "bytes32"
        }
      ],
      "stateMutability": "view",
      "type": "function"
    },
    {
      "inputs": [
        {
          "internalType": "bytes32",
          "name": "name",
          "type": "bytes32"
        },
        {
          "internalType": "uint64",
          "name": "entries",
          "type": "uint64"
        },
        {
          "internalType": "bytes32",
          "name": "root",
          "type": "bytes32"
        }
      ],
      "name": "publish",
      "outputs": [],
      "stateMutability": "nonpayable",
      "type": "function"
    }
  ],
  "bytecode": "0x6080806040523460155761017a908161001a8239f35b5f80fdfe6080806040526004361015610012575f80fd5b5f3560e01c9081634080e14e1461009d575063e3b3359414610032575f80fd5b34610099576040366003190112610099576004356001600160a01b03811690819003610099575f525f60205260405f206024355f52602052606060405f206001815491015467ffffffffffffffff60405192818116845260401c1660208301526040820152f35b5f80fd5b34610099576060366003190112610099576004359060243567ffffffffffffffff81168091036100995760443590335f525f60205260405f20845f5260205260405f20805467ffffffffffffffff81168084111561015b57508391600191846fffffffffffffffff00000000000000004260401b16916fffffffffffffffffffffffffffffffff1916171781550155825260208201527faaf5020887daa2018632d2bffd8a551a3d2b843113c535a0a752c287bf34ffd360403392a3005b632852529360e11b5f5260045260245ffdfea164736f6c6343000825000a",
  "runtime": "0x6080806040526004361015610012575f80fd5b5f3560e01c9081634080e14e1461009d575063e3b3359414610032575f80fd5b34610099576040366003190112610099576004356001600160a01b03811690819003610099575f525f60205260405f206024355f52602052606060405f206001815491015467ffffffffffffffff60405192818116845260401c1660208301526040820152f35b5f80fd5b34610099576060366003190112610099576004359060243567ffffffffffffffff81168091036100995760443590335f525f60205260405f20845f5260205260405f20805467ffffffffffffffff81168084111561015b57508391600191846fffffffffffffffff00000000000000004260401b16916fffffffffffffffffffffffffffffffff1916171781550155825260208201527faaf5020887daa2018632d2bffd8a551a3d2b843113c535a0a752c287bf34ffd360403392a3005b632852529360e11b5f5260045260245ffdfea164736f6c6343000825000a"
} as const;
