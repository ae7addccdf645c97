// OfferDesk: the owner's counter: what the pool is offered for and when, and what it has earned by its cards.
//   GET /qanat/v1/offer     to all: prices, windows, whether it is open now and until when
//   PUT /qanat/v1/offer     the operator's socket: {"price":{…},"windows":[…]}; what is not named stays. Holds from now on
//                           over TCP too, for who has the owner's token (`owner_token_file`)
//   GET /qanat/v1/leases    the operator's socket: the pool's own books of card time, ?since_unix_ms=
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "gateway/pool/serve/pool_offer.hh"
#include "gateway/pool/usage/lease_book.hh"

namespace qanat::base {
class HttpServer;
}

namespace qanat::pool {

class OfferDesk {
 public:
  // Prices are the configuration's until the owner says otherwise; what was said last is kept in `leases`.
  OfferDesk(const PoolConfig& config, LeaseBook& leases);
  const PoolOffer& offer() const { return offer_; }
  bool open() const;
  // When open() will be another, 0: never.
  std::uint64_t changes_unix_ms() const;
  // `owner` keeps the pool alive while a request is answered.
  void add_routes(base::HttpServer& server, const std::shared_ptr<void>& owner);
  void add_operator_routes(base::HttpServer& server, const std::shared_ptr<void>& owner);
  // PUT, for who has `token`.
  void add_owner_route(base::HttpServer& server, const std::string& token,
                       const std::shared_ptr<void>& owner);

 private:
  struct Api;
  std::string text() const;

  LeaseBook& leases_;
  PoolOffer offer_;
};

}  // namespace qanat::pool
