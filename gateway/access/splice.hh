// splice: two connections joined until both directions have ended. The end of one direction is passed on as an end of
// writing, so that protocols that half-close work; an error in one ends both.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

namespace qanat::access {

// `early`: bytes of `client` that were read already; they go first.
boost::asio::awaitable<void> splice(boost::asio::ip::tcp::socket& client,
                                    boost::asio::ip::tcp::socket& backend, std::string early);

}  // namespace qanat::access
