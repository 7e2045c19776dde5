// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

interface ChannelToken {
    function transfer(address to, uint256 value) external returns (bool);
    function receiveWithAuthorization(
        address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes memory signature
    ) external;
}

struct ChannelConfig {
    address payer;
    address payerAuthorizer;
    address receiver;
    address receiverAuthorizer;
    address token;
    uint40 withdrawDelay;
    bytes32 salt;
}

/// Brings a deposit in by an EIP-3009 authorization whose nonce names the channel.
contract DevDepositCollector {
    function collect(ChannelConfig calldata config, bytes32 channelId, uint256 amount, bytes calldata data) external {
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(data, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        ChannelToken token = ChannelToken(config.token);
        token.receiveWithAuthorization(config.payer, address(this), amount, validAfter, validBefore, nonce, signature);
        require(token.transfer(msg.sender, amount), "transfer failed");
    }
}

/// The part of x402's batch settlement that development markets use: deposits, claims by signed vouchers, payouts to the
/// receiver, and withdrawal of what is unclaimed after a delay. It is put at the real one's address.
contract DevChannels {
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }
    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }
    struct Withdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }
    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);

    bytes32 public constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 private constant CLAIM_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 private constant BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );
    uint256 private constant MIN_DELAY = 15 minutes;
    uint256 private constant MAX_DELAY = 30 days;
    /// Half the order of secp256k1: signatures above it are malleable twins (EIP-2).
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    mapping(bytes32 => Channel) public channels;
    mapping(bytes32 => Withdrawal) public pendingWithdrawals;
    mapping(bytes32 => uint256) public refundNonce;
    mapping(address => mapping(address => Receiver)) public receivers;

    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData) external {
        require(amount > 0 && config.receiver != address(0) && config.receiverAuthorizer != address(0), "invalid channel");
        require(config.withdrawDelay >= MIN_DELAY && config.withdrawDelay <= MAX_DELAY, "invalid withdraw delay");
        bytes32 id = getChannelId(config);
        channels[id].balance += amount;
        DevDepositCollector(collector).collect(config, id, amount, collectorData);
    }

    function claimWithSignature(VoucherClaim[] calldata claims, bytes calldata authorizerSignature) external {
        bytes32[] memory entries = new bytes32[](claims.length);
        for (uint256 at = 0; at < claims.length; at++) {
            VoucherClaim calldata one = claims[at];
            ChannelConfig calldata config = one.voucher.channel;
            require(config.receiverAuthorizer == claims[0].voucher.channel.receiverAuthorizer, "one authorizer per batch");
            bytes32 id = getChannelId(config);
            entries[at] = keccak256(abi.encode(CLAIM_TYPEHASH, id, one.voucher.maxClaimableAmount, one.totalClaimed));
            claim(id, one);
        }
        bytes32 batch = keccak256(abi.encode(BATCH_TYPEHASH, keccak256(abi.encodePacked(entries))));
        require(
            recover(digest(batch), authorizerSignature) == claims[0].voucher.channel.receiverAuthorizer, "invalid authorizer"
        );
    }

    function settle(address receiver, address token) external {
        Receiver storage payee = receivers[receiver][token];
        uint128 amount = payee.totalClaimed - payee.totalSettled;
        require(amount > 0, "nothing to settle");
        payee.totalSettled = payee.totalClaimed;
        require(ChannelToken(token).transfer(receiver, amount), "transfer failed");
        emit Settled(receiver, token, msg.sender, amount);
    }

    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external {
        require(msg.sender == config.payer, "only the payer");
        bytes32 id = getChannelId(config);
        require(amount > 0 && amount <= channels[id].balance - channels[id].totalClaimed, "invalid amount");
        pendingWithdrawals[id] = Withdrawal(amount, uint40(block.timestamp));
    }

    function finalizeWithdraw(ChannelConfig calldata config) external {
        bytes32 id = getChannelId(config);
        Withdrawal memory pending = pendingWithdrawals[id];
        require(pending.initiatedAt > 0 && block.timestamp >= pending.initiatedAt + config.withdrawDelay, "not yet");
        uint128 free = channels[id].balance - channels[id].totalClaimed;
        uint128 amount = pending.amount < free ? pending.amount : free;
        delete pendingWithdrawals[id];
        channels[id].balance -= amount;
        require(ChannelToken(config.token).transfer(config.payer, amount), "transfer failed");
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return digest(
            keccak256(
                abi.encode(
                    CHANNEL_CONFIG_TYPEHASH,
                    config.payer,
                    config.payerAuthorizer,
                    config.receiver,
                    config.receiverAuthorizer,
                    config.token,
                    config.withdrawDelay,
                    config.salt
                )
            )
        );
    }

    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) public view returns (bytes32) {
        return digest(keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount)));
    }

    function claim(bytes32 id, VoucherClaim calldata one) private {
        ChannelConfig calldata config = one.voucher.channel;
        Channel storage channel = channels[id];
        require(
            one.totalClaimed > channel.totalClaimed && one.totalClaimed <= one.voucher.maxClaimableAmount
                && one.totalClaimed <= channel.balance,
            "invalid claim"
        );
        bytes32 voucher = getVoucherDigest(id, one.voucher.maxClaimableAmount);
        require(recover(voucher, one.signature) == config.payerAuthorizer, "invalid voucher");
        receivers[config.receiver][config.token].totalClaimed += one.totalClaimed - channel.totalClaimed;
        channel.totalClaimed = one.totalClaimed;
    }

    /// Computed at each call: code that is put at an address has no constructor.
    function digest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function recover(bytes32 hash, bytes calldata signature) private pure returns (address) {
        require(signature.length == 65, "invalid signature");
        bytes32 s = bytes32(signature[32:64]);
        require(uint256(s) <= MAX_S, "invalid signature");
        address signer = ecrecover(hash, uint8(signature[64]), bytes32(signature[0:32]), s);
        require(signer != address(0), "invalid signature");
        return signer;
    }
}
