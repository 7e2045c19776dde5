// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// Keeps the newest root over each publisher's logs. A log only grows, so a root over no more entries than before is refused.
/// It has no owner, holds no money and cannot be changed. Its address is the same on every chain (CREATE2).
contract LogRoots {
    struct Head {
        uint64 entries;
        uint64 at;
        bytes32 root;
    }

    mapping(address publisher => mapping(bytes32 name => Head)) public heads;

    event Published(address indexed publisher, bytes32 indexed name, uint64 entries, bytes32 root);

    error NotLonger(uint64 entries);

    function publish(bytes32 name, uint64 entries, bytes32 root) external {
        Head storage head = heads[msg.sender][name];
        if (entries <= head.entries) revert NotLonger(head.entries);
        head.entries = entries;
        head.at = uint64(block.timestamp);
        head.root = root;
        emit Published(msg.sender, name, entries, root);
    }
}
