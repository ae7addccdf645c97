#include "controller/store/etcd_client.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <nlohmann/json.hpp>

#include "base/errc.hh"
#include "base/hex.hh"
#include "base/http_client.hh"
#include "controller/store/etcd_rows.hh"

namespace qanat::store {

using nlohmann::json;

namespace {

// Fields that hold their default are left out; numbers of 64 bits are text.
std::string bytes_of(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_string()) return {};
  const auto bytes = base::from_base64(at->get_ref<const std::string&>());
  return bytes ? std::string(bytes->begin(), bytes->end()) : std::string();
}

std::int64_t number_of(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) return 0;
  if (at->is_number_integer()) return at->get<std::int64_t>();
  return at->is_string() ? std::strtoll(at->get_ref<const std::string&>().c_str(), nullptr, 10) : 0;
}

std::int64_t revision_of(const json& answer) {
  const auto header = answer.find("header");
  return header == answer.end() ? 0 : number_of(*header, "revision");
}

json parsed(const std::string& body) {
  json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) throw StoreError("etcd: an answer that is no JSON object");
  return answer;
}

// gRPC's codes for "not now": Unknown (no leader), DeadlineExceeded, ResourceExhausted, Aborted, Unavailable.
constexpr std::int64_t kPassing[] = {2, 4, 8, 10, 14};
constexpr std::int64_t kUnauthenticated = 16;

std::int64_t code_of(const base::ClientResponse& reply) {
  const json error = json::parse(reply.body, nullptr, false);
  return error.is_object() ? number_of(error, "code") : 0;
}

bool passing(const base::ClientResponse& reply) {
  return reply.status >= 500 || std::ranges::find(kPassing, code_of(reply)) != std::end(kPassing);
}

}  // namespace

struct EtcdClient::State {
  explicit State(EtcdConfig c) : config(std::move(c)), http(io, options(config)) {}

  static base::HttpClientOptions options(const EtcdConfig& config) {
    base::HttpClientOptions out;
    out.connect_timeout = kCallLimit / 2;
    out.read_timeout = kCallLimit;
    out.body_bytes = 256 * 1024 * 1024;
    out.tls = config.tls;
    return out;
  }

  base::Result<base::ClientResponse> post(const EtcdFindings::Now& at, std::string_view path,
                                          const std::string& body) {
    base::ClientRequest request{.method = "POST", .target = std::string(path), .headers = {}, .body = body};
    if (!at.token.empty()) request.headers.set("authorization", at.token);
    std::optional<base::Result<base::ClientResponse>> result;
    std::exception_ptr failure;
    io.restart();
    boost::asio::co_spawn(io, http.fetch(config.endpoints[at.member], std::move(request)),
                          [&](std::exception_ptr e, base::Result<base::ClientResponse> r) {
                            failure = e;
                            result = std::move(r);
                            io.stop();
                          });
    io.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*result);
  }

  EtcdConfig config;
  boost::asio::io_context io{1};
  base::HttpClient http;
};

EtcdFindings::Now EtcdFindings::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

void EtcdFindings::next_member(const Now& tried, std::size_t members) {
  const std::lock_guard lock(mutex_);
  if (now_.member == tried.member) now_.member = (tried.member + 1) % members;
}

void EtcdFindings::drop_token(const Now& tried) {
  const std::lock_guard lock(mutex_);
  if (now_.token == tried.token) now_.token.clear();
}

void EtcdFindings::keep_token(std::string token) {
  const std::lock_guard lock(mutex_);
  now_.token = std::move(token);
}

EtcdClient::EtcdClient(EtcdConfig config) : state_(std::make_unique<State>(std::move(config))) {}
EtcdClient::~EtcdClient() = default;

std::string EtcdClient::call(std::string_view path, const std::string& body) {
  State& s = *state_;
  EtcdFindings& found = *s.config.findings;
  const std::size_t members = s.config.endpoints.size();
  std::string why;
  bool signed_in = false;
  // A kept connection may have been closed meanwhile: each endpoint is tried once more than there are endpoints.
  for (std::size_t attempt = 0; attempt <= members; ++attempt) {
    EtcdFindings::Now at = found.now();
    why = s.config.endpoints[at.member] + ": ";
    if (!s.config.user.empty() && at.token.empty()) {
      const json who = {{"name", s.config.user}, {"password", s.config.password}};
      const auto reply = s.post(at, "/v3/auth/authenticate", who.dump());
      if (!reply || reply->status != 200) {
        why += "sign in as " + s.config.user + ": " +
               (reply ? reply->body.substr(0, 200) : reply.error().message());
        if (reply && !passing(*reply)) throw EtcdRefused("etcd: " + why);
        found.next_member(at, members);
        continue;
      }
      at.token = parsed(reply->body).value("token", "");
      found.keep_token(at.token);
      signed_in = true;
    }
    const auto reply = s.post(at, path, body);
    if (reply && reply->status == 200) return reply->body;
    if (reply) {
      why += reply->body.substr(0, 200);
      const bool expired = code_of(*reply) == kUnauthenticated && !s.config.user.empty() && !signed_in;
      if (!expired && !passing(*reply)) throw EtcdRefused("etcd: " + std::string(path) + ": " + why);
      found.drop_token(at);
      if (expired) continue;
    } else {
      why += reply.error().message();
      if (reply.error() == base::Errc::Closed) continue;
    }
    found.next_member(at, members);
  }
  throw StoreError("etcd: " + std::string(path) + ": " + why);
}

EtcdRange EtcdClient::range(std::string_view prefix) {
  const json request = {{"key", base64_of(prefix)},
                        {"range_end", base64_of(prefix_end(std::string(prefix)))}};
  const json answer = parsed(call("/v3/kv/range", request.dump()));
  EtcdRange out{{}, revision_of(answer)};
  if (const auto rows = answer.find("kvs"); rows != answer.end())
    for (const json& row : *rows)
      out.rows.push_back({bytes_of(row, "key"), bytes_of(row, "value"), number_of(row, "create_revision")});
  return out;
}

EtcdOutcome EtcdClient::commit(const EtcdGuard& guard, const std::vector<EtcdChange>& changes) {
  json steps = json::array();
  for (const EtcdChange& change : changes) {
    if (!change.value) {
      steps.push_back({{"request_delete_range", {{"key", base64_of(change.key)}}}});
      continue;
    }
    json put = {{"key", base64_of(change.key)}, {"value", base64_of(*change.value)}};
    if (change.lease != 0) put["lease"] = std::to_string(change.lease);
    steps.push_back({{"request_put", std::move(put)}});
  }
  const json request = {{"compare",
                         {{{"key", base64_of(guard.key)},
                           {"target", "CREATE"},
                           {"result", "EQUAL"},
                           {"create_revision", std::to_string(guard.create_revision)}}}},
                        {"success", std::move(steps)}};
  const json answer = parsed(call("/v3/kv/txn", request.dump()));
  return {answer.value("succeeded", false), revision_of(answer)};
}

std::int64_t EtcdClient::grant(std::int64_t ttl_s) {
  return number_of(parsed(call("/v3/lease/grant", json{{"TTL", std::to_string(ttl_s)}}.dump())), "ID");
}

bool EtcdClient::keep_alive(std::int64_t lease) {
  const json answer = parsed(call("/v3/lease/keepalive", json{{"ID", std::to_string(lease)}}.dump()));
  const auto result = answer.find("result");
  return result != answer.end() && number_of(*result, "TTL") > 0;
}

void EtcdClient::revoke(std::int64_t lease) {
  call("/v3/lease/revoke", json{{"ID", std::to_string(lease)}}.dump());
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');  // everything
  ++prefix.back();
  return prefix;
}

std::string watch_request(std::string_view prefix, std::int64_t revision) {
  return json{{"create_request",
               {{"key", base64_of(prefix)},
                {"range_end", base64_of(prefix_end(std::string(prefix)))},
                {"start_revision", std::to_string(revision)}}}}
      .dump();
}

base::Result<EtcdNews> parse_news(std::string_view line) {
  const json answer = json::parse(line, nullptr, false);
  if (!answer.is_object()) return make_error_code(base::Errc::BadResponse);
  const auto result = answer.find("result");
  if (result == answer.end() || !result->is_object()) return make_error_code(base::Errc::BadResponse);
  EtcdNews news{{}, revision_of(*result), result->contains("compact_revision")};
  if (const auto events = result->find("events"); events != result->end() && events->is_array()) {
    for (const json& event : *events) {
      const auto row = event.find("kv");
      if (row == event.end() || !row->is_object()) continue;
      EtcdChange change{bytes_of(*row, "key"), bytes_of(*row, "value"), 0, number_of(*row, "mod_revision")};
      if (event.value("type", "PUT") == "DELETE") change.value.reset();
      news.changes.push_back(std::move(change));
    }
  }
  return news;
}

}  // namespace qanat::store
