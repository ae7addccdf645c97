#include "gateway/jobs/artefact/site_store.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/jobs/artefact/fetch.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::jobs {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

std::optional<std::size_t> number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "base64url(text).signature" → both.
std::optional<std::pair<std::string, std::string>> opened(std::string_view header) {
  const std::size_t dot = header.find('.');
  if (dot == std::string_view::npos || header.size() > 128 * 1024) return std::nullopt;
  const auto text = base::from_base64(header.substr(0, dot));
  if (!text) return std::nullopt;
  return std::pair(std::string(text->begin(), text->end()), std::string(header.substr(dot + 1)));
}

base::HttpClientOptions as_bulk() {
  base::HttpClientOptions o;
  o.connect_timeout = std::chrono::seconds{2};
  o.read_timeout = std::chrono::seconds{30};
  o.idle_per_origin = 2;
  o.dscp = ids::dscp(ids::Tier::Bulk);
  return o;
}

}  // namespace

std::string sealed(const meter::SigningKey& key, std::string_view text) {
  return base::to_base64url(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())) +
         "." + key.sign(text);
}

awaitable<void> refuse(base::Responder& out, Errc error, std::string message) {
  if (message.empty()) message = make_error_code(error).message();
  const std::string hint(clause(error).empty() ? "" : "clause: " + std::string(clause(error)));
  co_await out.error(status(error), code(error), message, hint);
}

SiteStore::SiteStore(boost::asio::io_context& io, const SiteConfig& config)
    : io_(io),
      config_(config),
      thread_(std::make_shared<StoreThread>(io, config.folder, config.quota_bytes)),
      key_(meter::SigningKey::load_or_create(config.folder + "/key.pem")),
      client_(io, as_bulk()) {
  config_.trust.push_back(key_.public_key());
}

bool SiteStore::trusted(std::string_view text, std::string_view signature) const {
  for (const std::string& key : config_.trust)
    if (meter::verify(text, signature, key)) return true;
  return false;
}

Result<void> SiteStore::admit(const base::Headers& headers, std::string_view verb,
                              std::string_view subject) const {
  const auto from = issuer(headers, verb, subject);
  if (!from) return from.error();
  return {};
}

Result<std::string> SiteStore::issuer(const base::Headers& headers, std::string_view verb,
                                      std::string_view subject) const {
  const auto both = opened(headers.value_or(kTicketHeader, ""));
  if (!both || !trusted(both->first, both->second)) return Errc::BadTicket;
  const auto ticket = parse_ticket(both->first);
  if (!ticket) return ticket.error();
  const auto now = static_cast<std::int64_t>(base::unix_now_ms());
  if (const auto judged = judge(*ticket, verb, subject, config_.name, now); !judged) return judged.error();
  return ticket->issuer;
}

Result<Contract> SiteStore::contract_of(std::string_view header) const {
  const auto both = opened(header);
  if (!both || !trusted(both->first, both->second)) return Errc::BadContract;
  return parse_contract(both->first);
}

// Handlers are coroutines that outlive a request's lambda: what they need is a parameter.
struct SiteStore::Routes {
  using Self = SiteStore*;

  // The artefact that the path names, if the ticket is for it.
  static Result<Digest> subject(Self self, const base::Request& in, std::string_view verb) {
    const auto id = parse_digest(in.capture("id"));
    if (!id) return Errc::NoSuchArtefact;
    if (const auto admitted = self->admit(in.headers, verb, in.capture("id")); !admitted)
      return admitted.error();
    return *id;
  }

  static awaitable<void> about(Self self, std::shared_ptr<void>, base::Request&, base::Responder& out) {
    const auto look = [](Shelf& shelf) { return std::pair(shelf.chunks.used(), shelf.chunks.quota()); };
    const auto [used, quota] = co_await self->thread_->run(look);
    const json body{{"site", self->config_.name},
                    {"public_key", self->key_.public_key()},
                    {"used_bytes", used},
                    {"quota_bytes", quota}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> put_manifest(Self self, std::shared_ptr<void>, base::Request& in,
                                      base::Responder& out) {
    const auto id = subject(self, in, "put");
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    const auto manifest = parse_manifest(in.body);
    if (!manifest) co_return co_await refuse(out, Errc::BadManifest);
    const auto begin = [id = *id, manifest = *manifest](Shelf& shelf) {
      return shelf.chunks.begin(id, manifest);
    };
    const auto missing = co_await self->thread_->run(begin);
    if (!missing) co_return co_await refuse(out, errc_of(missing.error()));
    const json body{{"missing", *missing}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> put_chunk(Self self, std::shared_ptr<void>, base::Request& in,
                                   base::Responder& out) {
    const auto id = subject(self, in, "put");
    const auto chunk = number(in.capture("number"));
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    if (!chunk) co_return co_await refuse(out, Errc::NoSuchArtefact);
    const auto put = [id = *id, chunk = *chunk, &bytes = in.body](Shelf& shelf) {
      return shelf.chunks.put(id, chunk, bytes);
    };
    const auto done = co_await self->thread_->run(put);
    if (!done) co_return co_await refuse(out, errc_of(done.error()));
    co_await out.json(200, "{}");
  }

  static awaitable<void> get_manifest(Self self, std::shared_ptr<void>, base::Request& in,
                                      base::Responder& out) {
    const auto id = subject(self, in, "get");
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    const auto look = [id = *id](Shelf& shelf) { return shelf.chunks.manifest(id); };
    const auto manifest = co_await self->thread_->run(look);
    if (!manifest) co_return co_await refuse(out, errc_of(manifest.error()));
    co_await out.send(200, "text/plain", serialize(*manifest));
  }

  static awaitable<void> get_missing(Self self, std::shared_ptr<void>, base::Request& in,
                                     base::Responder& out) {
    const auto id = subject(self, in, "get");
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    const auto look = [id = *id](Shelf& shelf) { return shelf.chunks.missing_bytes(id); };
    const auto bytes = co_await self->thread_->run(look);
    if (!bytes) co_return co_await refuse(out, errc_of(bytes.error()));
    const json body{{"missing_bytes", *bytes},
                    {"fetching", self->fetching_.contains(std::string(in.capture("id")))}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> get_chunk(Self self, std::shared_ptr<void>, base::Request& in,
                                   base::Responder& out) {
    const auto id = subject(self, in, "get");
    const auto chunk = number(in.capture("number"));
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    if (!chunk) co_return co_await refuse(out, Errc::NoSuchArtefact);
    const auto look = [id = *id, chunk = *chunk](Shelf& shelf) { return shelf.chunks.get(id, chunk); };
    auto bytes = co_await self->thread_->run(look);
    if (!bytes) co_return co_await refuse(out, errc_of(bytes.error()));
    co_await out.send(200, "application/octet-stream", std::move(*bytes));
  }

  static awaitable<void> bring(Self self, [[maybe_unused]] std::shared_ptr<void> owner, std::string origin,
                               std::string ticket, Digest id) {
    const std::string name = to_string(id);
    const TicketFor shown = [ticket] { return ticket; };
    const auto done = co_await jobs::fetch(self->client_, *self->thread_, origin, shown, id);
    self->fetching_.erase(name);
    if (!done) base::log_warn("{} from {}: {}", name, origin, done.error().message());
  }

  // Answered at once; how far it is, /missing says. One at a time of an artefact: a second wish is the first one's.
  static awaitable<void> fetch(Self self, std::shared_ptr<void> owner, base::Request& in,
                               base::Responder& out) {
    const auto id = subject(self, in, "put");
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    const json asked = json::parse(in.body, nullptr, false);
    const auto text = [&](const char* key) {
      return asked.is_object() && asked.contains(key) && asked[key].is_string()
                 ? asked[key].get<std::string>()
                 : std::string();
    };
    std::string origin = text("origin"), ticket = text("ticket");
    if (!origin.starts_with("http") || ticket.empty())
      co_return void(co_await out.error(400, "invalid_value", "'origin' and 'ticket' are required"));
    if (self->fetching_.insert(to_string(*id)).second)
      boost::asio::co_spawn(self->io_,
                            bring(self, std::move(owner), std::move(origin), std::move(ticket), *id),
                            [self, name = to_string(*id)](std::exception_ptr error) {
                              if (error) self->fetching_.erase(name);
                            });
    co_await out.json(202, "{}");
  }

  // What a simulated pool can say of a deletion is its word: an attestation, and the receipt says so.
  static awaitable<void> remove(Self self, std::shared_ptr<void>, base::Request& in, base::Responder& out) {
    const auto id = subject(self, in, "delete");
    if (!id) co_return co_await refuse(out, errc_of(id.error()));
    const auto drop = [id = *id](Shelf& shelf) { return shelf.chunks.remove(id); };
    const auto freed = co_await self->thread_->run(drop);
    if (!freed) co_return co_await refuse(out, errc_of(freed.error()));
    const json said{
        {"kind", "attestation"},
        {"says",
         "the site deleted the artefact's chunks that no other artefact holds; its word, not a proof"},
        {"site", self->config_.name},
        {"artefact", to_string(*id)},
        {"freed_bytes", *freed},
        {"unix_ms", base::unix_now_ms()}};
    const std::string text = said.dump();
    const json body{
        {"receipt", text}, {"signature", self->key_.sign(text)}, {"public_key", self->key_.public_key()}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> revoke(Self self, std::shared_ptr<void>, base::Request& in, base::Responder& out) {
    const std::string contract(in.capture("contract"));
    if (const auto admitted = self->admit(in.headers, "revoke", contract); !admitted)
      co_return co_await refuse(out, errc_of(admitted.error()));
    const auto note = [contract](Shelf& shelf) {
      shelf.book.revoke(contract);
      return true;
    };
    co_await self->thread_->run(note);
    if (self->revoked_) self->revoked_(contract);
    co_await out.json(200, "{}");
  }
};

void SiteStore::add_routes(base::HttpServer& server, std::shared_ptr<void> owner) {
  const auto route =
      [&](std::string_view method, std::string_view pattern,
          awaitable<void> (*handler)(SiteStore*, std::shared_ptr<void>, base::Request&, base::Responder&),
          std::size_t body_bytes) {
        server.route(
            method, pattern,
            [this, owner, handler](base::Request& in, base::Responder& out) {
              return handler(this, owner, in, out);
            },
            body_bytes);
      };
  route("GET", "/qanat/v1/store", Routes::about, 0);
  route("PUT", "/qanat/v1/store/{id}", Routes::put_manifest, kMaxManifestBytes);
  route("PUT", "/qanat/v1/store/{id}/{number}", Routes::put_chunk, kChunkBytes);
  route("GET", "/qanat/v1/store/{id}", Routes::get_manifest, 0);
  route("GET", "/qanat/v1/store/{id}/missing", Routes::get_missing, 0);
  route("GET", "/qanat/v1/store/{id}/{number}", Routes::get_chunk, 0);
  route("POST", "/qanat/v1/store/{id}/fetch", Routes::fetch, 8 * 1024);
  route("DELETE", "/qanat/v1/store/{id}", Routes::remove, 0);
  route("POST", "/qanat/v1/store/contracts/{contract}/revoke", Routes::revoke, 0);
}

}  // namespace qanat::jobs
