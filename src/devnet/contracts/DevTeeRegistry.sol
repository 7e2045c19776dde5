// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// A registry of enclaves with the functions that OpenGradient's TEERegistry has for clients (og-evm, TEERegistry.sol). Theirs
/// checks an attestation at registration with a precompile of its chain, and lets only its operators register: this one
/// takes anyone's word, as buyers have to check a live attestation in any case.
abstract contract DevTeeRegistryBase {
    struct Entry {
        address owner;
        address paymentAddress;
        string endpoint;
        bytes publicKey;
        bytes tlsCertificate;
        bytes32 pcrHash;
        uint8 teeType;
        bool enabled;
        uint256 registeredAt;
        uint256 lastHeartbeatAt;
    }

    struct PCRMeasurements {
        bytes pcr0;
        bytes pcr1;
        bytes pcr2;
    }

    event TEERegistered(bytes32 indexed teeId, address indexed owner, uint8 teeType);
    event TEEDisabled(bytes32 indexed teeId);
    event TEEEnabled(bytes32 indexed teeId);
    event PCRApproved(bytes32 indexed pcrHash, uint8 indexed teeType, string version);
    event PCRRevoked(bytes32 indexed pcrHash, uint8 indexed teeType);

    error TEENotFound(bytes32 teeId);

    mapping(bytes32 => Entry) internal entries;
    bytes32[] internal ids;
    mapping(uint8 => mapping(bytes32 => bool)) internal approved;
    uint256 public heartbeatMaxAge;

    constructor(uint256 maxAge) {
        heartbeatMaxAge = maxAge;
    }

    function setHeartbeatMaxAge(uint256 maxAge) external {
        heartbeatMaxAge = maxAge;
    }

    function computeTEEId(bytes calldata publicKey) public pure returns (bytes32) {
        return keccak256(publicKey);
    }

    function computePCRHash(PCRMeasurements calldata pcrs) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(pcrs.pcr0, pcrs.pcr1, pcrs.pcr2));
    }

    function approvePCR(PCRMeasurements calldata pcrs, string calldata version, uint8 teeType) external {
        bytes32 hash = computePCRHash(pcrs);
        approved[teeType][hash] = true;
        emit PCRApproved(hash, teeType, version);
    }

    function revokePCR(bytes32 pcrHash, uint8 teeType) external {
        approved[teeType][pcrHash] = false;
        emit PCRRevoked(pcrHash, teeType);
    }

    function isPCRApproved(uint8 teeType, bytes32 pcrHash) public view returns (bool) {
        return approved[teeType][pcrHash];
    }

    function registerTEE(
        bytes calldata publicKey,
        bytes calldata tlsCertificate,
        address paymentAddress,
        string calldata endpoint,
        uint8 teeType,
        bytes32 pcrHash
    ) external returns (bytes32 teeId) {
        teeId = computeTEEId(publicKey);
        if (entries[teeId].registeredAt == 0) ids.push(teeId);
        entries[teeId] = Entry(
            msg.sender,
            paymentAddress,
            endpoint,
            publicKey,
            tlsCertificate,
            pcrHash,
            teeType,
            true,
            block.timestamp,
            block.timestamp
        );
        emit TEERegistered(teeId, msg.sender, teeType);
    }

    function disableTEE(bytes32 teeId) external {
        entries[teeId].enabled = false;
        emit TEEDisabled(teeId);
    }

    function enableTEE(bytes32 teeId) external {
        entries[teeId].enabled = true;
        emit TEEEnabled(teeId);
    }

    function isTEEActive(bytes32 teeId) public view returns (bool) {
        Entry storage entry = entries[teeId];
        return entry.enabled && block.timestamp - entry.lastHeartbeatAt <= heartbeatMaxAge
            && isPCRApproved(entry.teeType, entry.pcrHash);
    }

    function getTEEPublicKey(bytes32 teeId) external view returns (bytes memory) {
        if (entries[teeId].registeredAt == 0) revert TEENotFound(teeId);
        return entries[teeId].publicKey;
    }

    function activeIds(uint8 teeType) internal view returns (bytes32[] memory active) {
        uint256 count;
        for (uint256 i = 0; i < ids.length; i++) if (isActiveOf(ids[i], teeType)) count++;
        active = new bytes32[](count);
        count = 0;
        for (uint256 i = 0; i < ids.length; i++) if (isActiveOf(ids[i], teeType)) active[count++] = ids[i];
    }

    function isActiveOf(bytes32 teeId, uint8 teeType) private view returns (bool) {
        return entries[teeId].teeType == teeType && isTEEActive(teeId);
    }
}

/// The layout of the registry as it is deployed now: each entry ends with the enclave's keys for OHTTP.
contract DevTeeRegistry is DevTeeRegistryBase {
    struct OHTTPConfig {
        uint8 keyId;
        uint16 kemId;
        uint16 kdfId;
        uint16 aeadId;
        bytes publicKey;
        bytes keyConfig;
        uint256 registeredAt;
    }

    struct TEEInfo {
        address owner;
        address paymentAddress;
        string endpoint;
        bytes publicKey;
        bytes tlsCertificate;
        bytes32 pcrHash;
        uint8 teeType;
        bool enabled;
        uint256 registeredAt;
        uint256 lastHeartbeatAt;
        OHTTPConfig ohttpConfig;
    }

    constructor(uint256 maxAge) DevTeeRegistryBase(maxAge) {}

    function getActiveTEEs(uint8 teeType) external view returns (TEEInfo[] memory infos) {
        bytes32[] memory active = activeIds(teeType);
        infos = new TEEInfo[](active.length);
        for (uint256 i = 0; i < active.length; i++) {
            Entry storage entry = entries[active[i]];
            TEEInfo memory info = infos[i];
            info.owner = entry.owner;
            info.paymentAddress = entry.paymentAddress;
            info.endpoint = entry.endpoint;
            info.publicKey = entry.publicKey;
            info.tlsCertificate = entry.tlsCertificate;
            info.pcrHash = entry.pcrHash;
            info.teeType = entry.teeType;
            info.enabled = entry.enabled;
            info.registeredAt = entry.registeredAt;
            info.lastHeartbeatAt = entry.lastHeartbeatAt;
        }
    }
}

/// The layout before it.
contract DevTeeRegistryOlder is DevTeeRegistryBase {
    constructor(uint256 maxAge) DevTeeRegistryBase(maxAge) {}

    function getActiveTEEs(uint8 teeType) external view returns (Entry[] memory infos) {
        bytes32[] memory active = activeIds(teeType);
        infos = new Entry[](active.length);
        for (uint256 i = 0; i < active.length; i++) infos[i] = entries[active[i]];
    }
}
