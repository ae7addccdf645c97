#include "gateway/jobs/express/mover.hh"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "gateway/jobs/artefact/fetch.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::int64_t kTicketMs = 10 * 60 * 1000;
constexpr base::Duration kNap = std::chrono::milliseconds{20};

base::HttpClientOptions options(ids::Tier tier) {
  base::HttpClientOptions o;
  o.connect_timeout = std::chrono::seconds{2};
  o.read_timeout = std::chrono::seconds{30};
  o.idle_per_origin = 4;
  o.dscp = ids::dscp(tier);
  return o;
}

}  // namespace

Mover::Mover(asio::io_context& io, SiteStore& own, std::string issuer)
    : io_(io),
      own_(own),
      issuer_(std::move(issuer)),
      bulk_(io, options(ids::Tier::Bulk)),
      scavenger_(io, options(ids::Tier::Scavenger)) {}

std::string Mover::ticket(std::string_view verb, std::string_view subject, const std::string& site) const {
  Ticket ticket;
  ticket.issuer = issuer_;
  ticket.verb = verb;
  ticket.subject = subject;
  ticket.site = site;
  ticket.expires_unix_ms = static_cast<std::int64_t>(base::unix_now_ms()) + kTicketMs;
  return sealed(own_.key(), serialize(ticket));
}

base::ClientRequest Mover::request(const Place& at, std::string method, std::string target,
                                   std::string_view verb, std::string_view subject) const {
  base::ClientRequest r;
  r.method = std::move(method);
  r.target = std::move(target);
  r.headers.add(std::string(kTicketHeader), ticket(verb, subject, at.name));
  return r;
}

awaitable<Result<void>> Mover::push(Place to, Digest id, ids::Tier tier, std::shared_ptr<Steering> steering) {
  const std::string name = to_string(id), path = "/qanat/v1/store/" + name;
  const auto look = [id](Shelf& shelf) { return shelf.chunks.manifest(id); };
  const auto manifest = co_await own_.thread().run(look);
  if (!manifest) co_return manifest.error();
  auto begin = request(to, "PUT", path, "put", name);
  begin.headers.add("content-type", "text/plain");
  begin.body = serialize(*manifest);
  const auto answer = co_await client(tier).fetch(to.origin, std::move(begin));
  if (!answer) co_return answer.error();
  if (answer->status != 200) co_return refusal_of(*answer);
  const json body = json::parse(answer->body, nullptr, false);
  if (!body.is_object() || !body["missing"].is_array()) co_return Errc::BadManifest;
  std::vector<std::size_t> missing;
  for (const json& n : body["missing"])
    if (n.is_number_unsigned() && n.get<std::size_t>() < manifest->chunks.size()) missing.push_back(n);
  steering->to_move = 0;
  for (const std::size_t n : missing) steering->to_move += manifest->bytes_of(n);
  base::Time free_at = base::monotonic_now();
  for (const std::size_t n : missing) {
    // A chunk may go once the pace, as it is now, has paid for the ones before.
    while (!steering->stop && (steering->bytes_per_s <= 0 || base::monotonic_now() < free_at))
      co_await rest(io_, kNap);
    if (steering->stop)
      co_return boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
    const auto read = [id, n](Shelf& shelf) { return shelf.chunks.get(id, n); };
    auto bytes = co_await own_.thread().run(read);
    if (!bytes) co_return bytes.error();
    const std::uint64_t size = bytes->size();
    free_at =
        std::max(free_at, base::monotonic_now() - kNap) +
        base::Duration(static_cast<std::int64_t>(1e9 * static_cast<double>(size) / steering->bytes_per_s));
    auto put = request(to, "PUT", path + "/" + std::to_string(n), "put", name);
    put.headers.add("content-type", "application/octet-stream");
    put.body = std::move(*bytes);
    const auto taken = co_await client(tier).fetch(to.origin, std::move(put));
    if (!taken) co_return taken.error();
    if (taken->status != 200) co_return refusal_of(*taken);
    if (steering->moved) steering->moved(size);
  }
  co_return Result<void>();
}

awaitable<Result<void>> Mover::pull(Place from, Digest id, ids::Tier tier) {
  const TicketFor get = [this, name = to_string(id), site = from.name] { return ticket("get", name, site); };
  co_return co_await fetch(client(tier), own_.thread(), from.origin, get, id);
}

awaitable<Result<std::uint64_t>> Mover::survey(Place to, Digest id) {
  const std::string name = to_string(id);
  const auto look = [id](Shelf& shelf) { return shelf.chunks.manifest(id); };
  const auto manifest = co_await own_.thread().run(look);
  if (!manifest) co_return manifest.error();
  const auto answer = co_await bulk_.fetch(
      to.origin, request(to, "GET", "/qanat/v1/store/" + name + "/missing", "get", name));
  if (!answer) co_return answer.error();
  if (answer->status == 404) co_return manifest->size;
  if (answer->status != 200) co_return refusal_of(*answer);
  const json body = json::parse(answer->body, nullptr, false);
  co_return body.is_object() ? body.value("missing_bytes", manifest->size) : manifest->size;
}

awaitable<Result<std::string>> Mover::remove(Place at, Digest id) {
  const std::string name = to_string(id);
  const auto answer =
      co_await bulk_.fetch(at.origin, request(at, "DELETE", "/qanat/v1/store/" + name, "delete", name));
  if (!answer) co_return answer.error();
  if (answer->status != 200) co_return refusal_of(*answer);
  co_return answer->body;
}

awaitable<Result<base::ClientResponse>> Mover::ask(Place at, base::ClientRequest wanted, std::string verb,
                                                   std::string subject) {
  base::ClientRequest with = request(at, wanted.method, wanted.target, verb, subject);
  for (const auto& [name, value] : wanted.headers) with.headers.add(name, value);
  with.body = std::move(wanted.body);
  auto answer = co_await bulk_.fetch(at.origin, std::move(with));
  if (!answer) co_return answer.error();
  co_return std::move(*answer);
}

}  // namespace qanat::jobs
