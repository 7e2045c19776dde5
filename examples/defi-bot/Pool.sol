// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// A token to try the pool with: anybody mints it.
contract TestToken {
    string public symbol;
    uint8 public immutable decimals;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        balanceOf[from] -= value;
        balanceOf[to] += value;
        return true;
    }
}

/// A constant-product pool of ETH and USD test tokens, with a fee of 0.3 %. An order names the exact ETH and a limit in USD:
/// the most that a purchase pays, the least that a sale gets. Each trader's order id trades once.
contract Pool {
    TestToken public immutable eth;
    TestToken public immutable usd;
    uint256 public reserveEth;
    uint256 public reserveUsd;
    mapping(address => mapping(bytes32 => bool)) public traded;

    event Swap(address indexed trader, bytes32 indexed orderId, bool buys, uint256 eth, uint256 usd);

    constructor(TestToken eth_, TestToken usd_) {
        eth = eth_;
        usd = usd_;
    }

    /// Gives tokens to the pool. They stay there.
    function add(uint256 ethIn, uint256 usdIn) external {
        require(eth.transferFrom(msg.sender, address(this), ethIn) && usd.transferFrom(msg.sender, address(this), usdIn));
        reserveEth += ethIn;
        reserveUsd += usdIn;
    }

    /// The USD that a purchase of this ETH costs now, or that a sale of it brings.
    function quote(bool buys, uint256 ethAmount) public view returns (uint256) {
        if (buys) {
            require(ethAmount < reserveEth, "the pool has less");
            return (reserveUsd * ethAmount * 1000) / ((reserveEth - ethAmount) * 997) + 1;
        }
        uint256 kept = ethAmount * 997;
        return (reserveUsd * kept) / (reserveEth * 1000 + kept);
    }

    function swap(bool buys, uint256 ethAmount, uint256 usdLimit, uint256 deadline, bytes32 orderId) external {
        require(block.timestamp <= deadline, "the order is late");
        require(!traded[msg.sender][orderId], "the order has traded");
        traded[msg.sender][orderId] = true;
        uint256 usdAmount = quote(buys, ethAmount);
        if (buys) {
            require(usdAmount <= usdLimit, "over the limit");
            reserveUsd += usdAmount;
            reserveEth -= ethAmount;
            require(usd.transferFrom(msg.sender, address(this), usdAmount) && eth.transfer(msg.sender, ethAmount));
        } else {
            require(usdAmount >= usdLimit, "under the limit");
            reserveEth += ethAmount;
            reserveUsd -= usdAmount;
            require(eth.transferFrom(msg.sender, address(this), ethAmount) && usd.transfer(msg.sender, usdAmount));
        }
        emit Swap(msg.sender, orderId, buys, ethAmount, usdAmount);
    }
}
