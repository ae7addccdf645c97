// Mover: carries artefacts between this site's store and another's, chunk by chunk, at a pace that may change, asking
// first what is missing there. Interrupted at any instant, it goes on with what is still missing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/http_client.hh"
#include "gateway/jobs/artefact/site_store.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::jobs {

// Another site's store.
struct Place {
  std::string origin;  // "http://100.96.2.1:9000"
  std::string name;    // as tickets name it
};

// What the mover asks and tells while it works; shared with whoever steers it.
struct Steering {
  bool stop = false;
  double bytes_per_s = 1e12;  // 0: wait
  // After each chunk that the other side has confirmed: its bytes.
  std::function<void(std::uint64_t bytes)> moved;
  std::uint64_t to_move = 0;  // set once it is known: bytes that were missing
};

class Mover {
 public:
  Mover(boost::asio::io_context& io, SiteStore& own, std::string issuer);

  // To the other site. Errors: the site's (Errc), the network's; tried again later, it goes on.
  boost::asio::awaitable<Result<void>> push(Place to, Digest id, ids::Tier tier,
                                            std::shared_ptr<Steering> steering);
  // From the other site.
  boost::asio::awaitable<Result<void>> pull(Place from, Digest id, ids::Tier tier);
  // Bytes that a push would have to move; changes nothing there.
  boost::asio::awaitable<Result<std::uint64_t>> survey(Place to, Digest id);
  // The other site deletes it; answers its receipt, as received.
  boost::asio::awaitable<Result<std::string>> remove(Place at, Digest id);
  // Anything else with a ticket: `verb` of `subject`; answers status and body.
  boost::asio::awaitable<Result<base::ClientResponse>> ask(Place at, base::ClientRequest request,
                                                           std::string verb, std::string subject);
  // As it goes into the header: this gateway's word to a site.
  std::string ticket(std::string_view verb, std::string_view subject, const std::string& site) const;

 private:
  base::ClientRequest request(const Place& at, std::string method, std::string target, std::string_view verb,
                              std::string_view subject) const;
  base::HttpClient& client(ids::Tier tier) { return tier == ids::Tier::Scavenger ? scavenger_ : bulk_; }

  boost::asio::io_context& io_;
  SiteStore& own_;
  std::string issuer_;
  base::HttpClient bulk_, scavenger_;  // apart: a connection's DSCP never changes
};

}  // namespace qanat::jobs
