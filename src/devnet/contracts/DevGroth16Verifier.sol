// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// Checks Groth16 proofs (eprint 2016/260) under one verification key with the precompiles of EIP-196 and EIP-197. It holds
/// the key's hash and takes the key with each call, which costs less than reading it from storage. Whatever does not verify
/// reverts: a contract that returned false would be estimated, and then sent, with too little gas to return anything else.
contract DevGroth16Verifier {
    uint256 private constant P = 21888242871839275222246405745257275088696311157297823662689037894645226208583;
    uint256 private constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// keccak256 of the key's words: alpha (2), beta (4), gamma (4), delta (4), then the signals' points, of 2 each.
    bytes32 public immutable keyHash;

    event Proved(bytes32 indexed signalsHash, address indexed by);

    error AnotherKey();
    error NotAnElement();
    error NotAPoint();
    error NotProved();

    constructor(bytes32 hash) {
        keyHash = hash;
    }

    /// Returns where the proof verifies, and reverts where it does not.
    function verify(uint256[] calldata key, uint256[8] calldata proof, uint256[] calldata signals) public view {
        if (key.length != 16 + 2 * signals.length) revert AnotherKey();
        if (keccak256(abi.encodePacked(key)) != keyHash) revert AnotherKey();
        uint256 x = key[14];
        uint256 y = key[15];
        for (uint256 i = 0; i < signals.length; i++) {
            if (signals[i] >= R) revert NotAnElement();
            (uint256 mx, uint256 my) = point(address(7), abi.encode(key[16 + 2 * i], key[17 + 2 * i], signals[i]));
            (x, y) = point(address(6), abi.encode(x, y, mx, my));
        }
        if (proof[0] >= P || proof[1] >= P) revert NotAPoint();
        bytes memory pairs = abi.encodePacked(
            // -A and B
            abi.encode(proof[0], (P - proof[1]) % P, proof[2], proof[3], proof[4], proof[5]),
            // alpha and beta
            abi.encode(key[0], key[1], key[2], key[3], key[4], key[5]),
            // the signals' sum and gamma
            abi.encode(x, y, key[6], key[7], key[8], key[9]),
            // C and delta
            abi.encode(proof[6], proof[7], key[10], key[11], key[12], key[13])
        );
        (bool ok, bytes memory result) = address(8).staticcall(pairs);
        if (!ok || result.length != 32) revert NotAPoint();
        if (abi.decode(result, (uint256)) != 1) revert NotProved();
    }

    /// The same, with an event that stays.
    function record(uint256[] calldata key, uint256[8] calldata proof, uint256[] calldata signals) external {
        verify(key, proof, signals);
        emit Proved(keccak256(abi.encodePacked(signals)), msg.sender);
    }

    function point(address precompile, bytes memory input) private view returns (uint256, uint256) {
        (bool ok, bytes memory result) = precompile.staticcall(input);
        if (!ok || result.length != 64) revert NotAPoint();
        return abi.decode(result, (uint256, uint256));
    }
}
