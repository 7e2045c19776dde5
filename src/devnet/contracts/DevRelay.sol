// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// A relay for batch roots with the functions and the event of OpenGradient's InferenceSettlementRelay. Like the one in
/// their facilitator's repository it checks nothing and takes roots from anyone: what a root says is in the leaves under it,
/// which carry signatures.
contract DevRelay {
    event BatchSettlement(bytes32 indexed merkleRoot, uint256 batchSize, bytes walrusBlobId);

    function batchSettle(bytes32 merkleRoot, uint256 batchSize, bytes calldata walrusBlobId) external {
        emit BatchSettlement(merkleRoot, batchSize, walrusBlobId);
    }

    /// OpenZeppelin's MerkleProof: siblings are hashed in byte order.
    function verifyProof(bytes32[] calldata proof, bytes32 root, bytes32 leaf) external pure returns (bool) {
        bytes32 node = leaf;
        for (uint256 i = 0; i < proof.length; i++) {
            node = node < proof[i]
                ? keccak256(abi.encodePacked(node, proof[i]))
                : keccak256(abi.encodePacked(proof[i], node));
        }
        return node == root;
    }
}
