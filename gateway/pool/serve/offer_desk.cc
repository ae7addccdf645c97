#include "gateway/pool/serve/offer_desk.hh"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/log.hh"

namespace qanat::pool {
namespace {

using boost::asio::awaitable;
using nlohmann::ordered_json;

constexpr std::size_t kMostLines = 1000;
constexpr const char* kOfferExample =
    R"({"price":{"card_nano_s":2500000},"windows":["mon-fri 22:00-06:00"]})";

using Hash = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Hash sha256_of(std::string_view text) {
  Hash hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

// Takes as long for every wrong token.
bool has(const base::Request& in, const Hash& token) {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string* const header = in.headers.find("authorization");
  if (!header || !header->starts_with(kBearer)) return false;
  const Hash given = sha256_of(std::string_view(*header).substr(kBearer.size()));
  return CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;
}

}  // namespace

OfferDesk::OfferDesk(const PoolConfig& config, LeaseBook& leases) : leases_(leases) {
  offer_.price = config.price;
  const std::string kept = leases.offer();
  if (kept.empty()) return;
  if (auto offer = parse_offer(kept))
    offer_ = std::move(*offer);
  else
    base::log_warn("the offer that was kept is unreadable; the configuration's prices hold");
}

bool OfferDesk::open() const { return offer_.open_at(base::unix_now_ms()); }

std::uint64_t OfferDesk::changes_unix_ms() const {
  return offer_.next_change(base::unix_now_ms()).value_or(0);
}

std::string OfferDesk::text() const {
  ordered_json j = to_json(offer_);
  j["open"] = open();
  const std::uint64_t at = changes_unix_ms();
  j["changes_unix_ms"] = at ? ordered_json(at) : ordered_json(nullptr);
  return j.dump();
}

struct OfferDesk::Api {
  using Owner = std::shared_ptr<void>;

  static awaitable<void> get(OfferDesk& desk, Owner, base::Request&, base::Responder& out) {
    std::string body = desk.text();
    co_await out.json(200, std::move(body));
  }

  static awaitable<void> put(OfferDesk& desk, Owner, base::Request& in, base::Responder& out) {
    std::string problem;
    PoolOffer next = changed(desk.offer_, nlohmann::json::parse(in.body, nullptr, false), problem);
    if (!problem.empty()) co_return void(co_await out.error(400, "invalid_value", problem, kOfferExample));
    next.version = desk.offer_.version + 1;
    std::string kept = to_json(next).dump();
    co_await desk.leases_.keep_offer(std::move(kept));
    if (next.version > desk.offer_.version) desk.offer_ = std::move(next);
    std::string body = desk.text();
    co_await out.json(200, std::move(body));
  }

  static awaitable<void> put_by_owner(OfferDesk& desk, Hash token, Owner owner, base::Request& in,
                                      base::Responder& out) {
    if (has(in, token)) co_return co_await put(desk, owner, in, out);
    out.set_header("www-authenticate", "Bearer");
    co_await out.error(401, "unauthorized", "the owner's token changes the offer of this pool",
                       "authorization: Bearer TOKEN; owner_token_file in the pool's configuration names it");
  }

  static awaitable<void> leases(OfferDesk& desk, Owner, base::Request& in, base::Responder& out) {
    const std::string since = std::string(in.parameter("since_unix_ms").value_or("0"));
    std::uint64_t from = 0;
    const auto [end, error] = std::from_chars(since.data(), since.data() + since.size(), from);
    if (error != std::errc{} || end != since.data() + since.size() || from > INT64_MAX)
      co_return void(
          co_await out.error(400, "invalid_value", "since_unix_ms is Unix milliseconds", "?since_unix_ms=0"));
    std::string all;
    const auto lines = co_await desk.leases_.lines(std::move(all), from, kMostLines);
    ordered_json list = ordered_json::array();
    std::uint64_t card_ns = 0, charged = 0;
    for (const LeaseLine& l : lines) {
      card_ns += l.card_ns;
      charged += l.charged_nano;
      list.push_back({{"placeholder", l.placeholder},
                      {"owner", l.owner},
                      {"model", l.model},
                      {"epoch", l.epoch},
                      {"card_ms", l.card_ns / 1'000'000},
                      {"bound_ms", l.bound_ns / 1'000'000},
                      {"charged_nano", l.charged_nano},
                      {"last_unix_ms", l.last_unix_ms},
                      {"ended", l.ended}});
    }
    const ordered_json body{
        {"lines", std::move(list)}, {"card_ms", card_ns / 1'000'000}, {"charged_nano", charged}};
    std::string text = body.dump();
    co_await out.json(200, std::move(text));
  }
};

void OfferDesk::add_routes(base::HttpServer& server, const std::shared_ptr<void>& owner) {
  server.route("GET", "/qanat/v1/offer", [this, owner](base::Request& in, base::Responder& out) {
    return Api::get(*this, owner, in, out);
  });
}

void OfferDesk::add_operator_routes(base::HttpServer& server, const std::shared_ptr<void>& owner) {
  add_routes(server, owner);
  server.route("PUT", "/qanat/v1/offer", [this, owner](base::Request& in, base::Responder& out) {
    return Api::put(*this, owner, in, out);
  });
  server.route("GET", "/qanat/v1/leases", [this, owner](base::Request& in, base::Responder& out) {
    return Api::leases(*this, owner, in, out);
  });
}

void OfferDesk::add_owner_route(base::HttpServer& server, const std::string& token,
                                const std::shared_ptr<void>& owner) {
  server.route("PUT", "/qanat/v1/offer",
               [this, hash = sha256_of(token), owner](base::Request& in, base::Responder& out) {
                 return Api::put_by_owner(*this, hash, owner, in, out);
               });
}

}  // namespace qanat::pool
