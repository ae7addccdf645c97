// What the audit desk answers: documents that `qanat audit verify` takes as they are.
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "gateway/app/audit_desk.hh"
#include "gateway/meter/call_leaf.hh"
#include "gateway/relay/chat.hh"

namespace qanat::app {

using boost::asio::awaitable;
using nlohmann::ordered_json;

namespace {

constexpr std::size_t kPage = 500;

// The document, or an error.
struct Said {
  int status = 200;
  ordered_json body;
  std::string code, message, hint;
};

Said failed(int status, std::string code, std::string message, std::string hint = {}) {
  return {status, {}, std::move(code), std::move(message), std::move(hint)};
}

std::optional<std::uint64_t> number_in(const base::Request& in, const char* name,
                                       std::optional<std::uint64_t> otherwise) {
  const auto text = in.parameter(name);
  if (!text) return otherwise;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value > INT64_MAX) return std::nullopt;
  return value;
}

ordered_json hashes(const std::vector<audit::Digest>& path) {
  ordered_json list = ordered_json::array();
  for (const audit::Digest& step : path) list.push_back(to_string(step));
  return list;
}

ordered_json checkpoint_json(meter::CallAudit& audit, const meter::CallAudit::Signed& c,
                             const std::string& key) {
  ordered_json cosignatures = ordered_json::array();
  for (const meter::Cosignature& one : audit.cosignatures(c.size))
    cosignatures.push_back({{"name", one.name},
                            {"public_key", one.public_key},
                            {"unix_s", one.unix_s},
                            {"signature", one.signature}});
  return {{"kind", "checkpoint"},     {"size", c.size},    {"text", c.text},
          {"signature", c.signature}, {"public_key", key}, {"cosignatures", std::move(cosignatures)}};
}

// `tenant` empty: of any.
Said proof(meter::Ledger& l, const std::string& call, const std::string& tenant, const std::string& key,
           const meter::CallAudit::Sign* sign) {
  const auto row = l.call(call, tenant);
  const auto leaf = row || tenant.empty() ? l.audit().leaf(call) : std::nullopt;
  if (!leaf)
    return failed(404, "not_found", "no call '" + call + "' in the audit tree",
                  "calls come into it when they are settled, at the gateway that carried them");
  if (sign) l.audit().checkpoint(static_cast<std::int64_t>(base::unix_now_ms()), *sign);
  const auto checkpoint = l.audit().latest();
  if (!checkpoint || checkpoint->size <= leaf->number)
    return failed(404, "not_found", "no checkpoint covers call '" + call + "' yet", "ask again later");
  ordered_json opened = ordered_json::object();
  if (row)
    for (const auto& [field, value] :
         {std::pair("tenant", row->settlement.call.tenant),
          std::pair("project", row->settlement.call.project), std::pair("key", row->settlement.call.key)})
      opened[field] = {{"value", value}, {"salt", meter::field_salt(leaf->secret, field)}};
  return {.body = {{"kind", "proof"},
                   {"call", call},
                   {"number", leaf->number},
                   {"leaf", leaf->text},
                   {"opened", std::move(opened)},
                   {"inclusion", hashes(l.audit().inclusion(leaf->number, checkpoint->size))},
                   {"checkpoint", checkpoint_json(l.audit(), *checkpoint, key)}}};
}

Said consistency(meter::Ledger& l, std::uint64_t from, std::uint64_t to, const std::string& key) {
  const auto latest = to == 0 ? l.audit().latest() : l.audit().checkpoint_of(to);
  const auto first = l.audit().checkpoint_of(from);
  if (!latest || !first || first->size > latest->size)
    return failed(404, "not_found",
                  "no checkpoints of " + std::to_string(from) + " and " + std::to_string(to) + " leaves",
                  "'from' and 'to' are sizes of checkpoints, the smaller first");
  return {.body = {{"kind", "consistency"},
                   {"from", checkpoint_json(l.audit(), *first, key)},
                   {"to", checkpoint_json(l.audit(), *latest, key)},
                   {"path", hashes(l.audit().consistency(first->size, latest->size))}}};
}

Said leaves(meter::Ledger& l, std::uint64_t from) {
  ordered_json list = ordered_json::array();
  for (const meter::CallAudit::Leaf& leaf : l.audit().leaves(from, kPage)) {
    const auto state = l.held_against(leaf);
    list.push_back({{"kind", "leaf"},
                    {"number", leaf.number},
                    {"call", leaf.call},
                    {"leaf", leaf.text},
                    {"row", state == meter::Ledger::RowState::Same      ? "same"
                            : state == meter::Ledger::RowState::Differs ? "differs"
                                                                        : "missing"}});
  }
  return {.body = {{"leaves", std::move(list)}, {"size", l.audit().size()}}};
}

Said checkpoints(meter::Ledger& l, std::uint64_t after, const std::string& key) {
  ordered_json list = ordered_json::array();
  for (const auto& c : l.audit().checkpoints(after, kPage))
    list.push_back(checkpoint_json(l.audit(), c, key));
  return {.body = {{"checkpoints", std::move(list)}}};
}

Said latest(meter::Ledger& l, const std::string& key) {
  const auto c = l.audit().latest();
  if (!c) return failed(404, "not_found", "there is no checkpoint yet", "it comes with the first calls");
  return {.body = checkpoint_json(l.audit(), *c, key)};
}

Said cosign(meter::Ledger& l, std::uint64_t size, const meter::Cosignature& by) {
  const auto checkpoint = l.audit().checkpoint_of(size);
  if (!checkpoint) return failed(404, "not_found", "no checkpoint of " + std::to_string(size) + " leaves");
  if (!meter::verify(meter::cosigned_text(checkpoint->text, by.unix_s), by.signature, by.public_key))
    return failed(400, "invalid_value", "the signature is not good for this checkpoint and time");
  l.audit().add(size, by);
  return {.status = 201, .body = {{"size", size}, {"name", by.name}}};
}

}  // namespace

struct AuditDesk::Routes {
  using Self = std::shared_ptr<AuditDesk>;
  using Handler = awaitable<void> (*)(Self, std::string tenant, base::Request&, base::Responder&);

  template <class Work>
  static awaitable<void> answer(Self self, base::Responder& out, const Work& work) {
    const Said said = co_await self->ledger_.query(work);
    if (said.code.empty())
      co_await out.json(said.status, said.body.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    else
      co_await out.error(said.status, said.code, said.message, said.hint);
  }
  static awaitable<void> bad_number(base::Responder& out, const char* names) {
    const std::string message = std::string(names) + " must be numbers of leaves";
    co_await out.error(400, "invalid_value", message);
  }
  // For the time that a query takes.
  static meter::CallAudit::Sign signing(Self self) {
    return [self](std::string_view text) { return self->key_.sign(text); };
  }

  static awaitable<void> get_checkpoint(Self self, std::string, base::Request&, base::Responder& out) {
    const auto work = [key = self->key_.public_key()](meter::Ledger& l) { return latest(l, key); };
    co_await answer(self, out, work);
  }
  static awaitable<void> make_checkpoint(Self self, std::string, base::Request&, base::Responder& out) {
    const auto work = [key = self->key_.public_key(), sign = signing(self)](meter::Ledger& l) {
      l.audit().checkpoint(static_cast<std::int64_t>(base::unix_now_ms()), sign);
      return latest(l, key);
    };
    co_await answer(self, out, work);
  }
  static awaitable<void> get_proof(Self self, std::string tenant, base::Request& in, base::Responder& out) {
    // A tenant waits for the next checkpoint; who runs the gateway gets one.
    const auto work = [call = std::string(in.capture("call")), tenant, key = self->key_.public_key(),
                       sign = signing(self)](meter::Ledger& l) {
      return proof(l, call, tenant, key, tenant.empty() ? &sign : nullptr);
    };
    co_await answer(self, out, work);
  }
  static awaitable<void> get_consistency(Self self, std::string, base::Request& in, base::Responder& out) {
    const auto from = number_in(in, "from", std::nullopt), to = number_in(in, "to", 0);
    if (!from || !to) co_return co_await bad_number(out, "'from' and 'to'");
    const auto work = [from = *from, to = *to, key = self->key_.public_key()](meter::Ledger& l) {
      return consistency(l, from, to, key);
    };
    co_await answer(self, out, work);
  }
  static awaitable<void> get_leaves(Self self, std::string, base::Request& in, base::Responder& out) {
    const auto from = number_in(in, "from", 0);
    if (!from) co_return co_await bad_number(out, "'from'");
    const auto work = [from = *from](meter::Ledger& l) { return leaves(l, from); };
    co_await answer(self, out, work);
  }
  static awaitable<void> get_checkpoints(Self self, std::string, base::Request& in, base::Responder& out) {
    const auto after = number_in(in, "after", 0);
    if (!after) co_return co_await bad_number(out, "'after'");
    const auto work = [after = *after, key = self->key_.public_key()](meter::Ledger& l) {
      return checkpoints(l, after, key);
    };
    co_await answer(self, out, work);
  }
  // The signature is the credential: only of a witness that the configuration names.
  static awaitable<void> post_cosignature(Self self, std::string, base::Request& in, base::Responder& out) {
    const auto asked = nlohmann::json::parse(in.body, nullptr, false);
    const auto text = [&](const char* name) {
      return asked.contains(name) && asked[name].is_string() ? asked[name].get<std::string>() : std::string();
    };
    const auto number = [&](const char* name) {
      return asked.contains(name) && asked[name].is_number_unsigned() &&
             asked[name].get<std::uint64_t>() <= INT64_MAX;
    };
    if (!asked.is_object() || !number("size") || !number("unix_s"))
      co_return void(co_await out.error(400, "invalid_value",
                                        "'size', 'unix_s', 'public_key' and 'signature' are required"));
    meter::Cosignature by{"", text("public_key"), text("signature"), asked["unix_s"].get<std::int64_t>()};
    const auto witness = self->config_.witnesses.find(by.public_key);
    if (witness == self->config_.witnesses.end())
      co_return void(co_await out.error(403, "forbidden",
                                        "no witness of this gateway has the key " + by.public_key,
                                        "[audit] witnesses in its configuration names them"));
    by.name = witness->second;
    const auto work = [by, size = asked["size"].get<std::uint64_t>()](meter::Ledger& l) {
      return cosign(l, size, by);
    };
    co_await answer(self, out, work);
  }

  static awaitable<void> as_tenant(Self self, Handler handler, base::Request& in, base::Responder& out) {
    const admit::KeyInfo* const key = co_await relay::authenticate(self->relay_, in, out);
    if (!key) co_return;
    std::string tenant = key->tenant;
    co_await handler(self, std::move(tenant), in, out);
  }
};

void AuditDesk::add_tenant_routes(base::HttpServer& server) {
  const auto route = [&](std::string_view method, std::string_view pattern, Routes::Handler handler) {
    server.route(method, pattern,
                 [self = shared_from_this(), handler](base::Request& in, base::Responder& out) {
                   return Routes::as_tenant(self, handler, in, out);
                 });
  };
  route("GET", "/qanat/v1/audit/checkpoint", Routes::get_checkpoint);
  route("GET", "/qanat/v1/audit/calls/{call}", Routes::get_proof);
  route("GET", "/qanat/v1/audit/consistency", Routes::get_consistency);
  route("POST", "/qanat/v1/audit/cosignatures", Routes::post_cosignature);
}

void AuditDesk::add_admin_routes(base::HttpServer& server) {
  const auto route = [&](std::string_view method, std::string_view pattern, Routes::Handler handler) {
    server.route(method, pattern,
                 [self = shared_from_this(), handler](base::Request& in, base::Responder& out) {
                   return handler(self, "", in, out);
                 });
  };
  route("GET", "/v1/audit/checkpoint", Routes::get_checkpoint);
  route("POST", "/v1/audit/checkpoint", Routes::make_checkpoint);
  route("GET", "/v1/audit/calls/{call}", Routes::get_proof);
  route("GET", "/v1/audit/consistency", Routes::get_consistency);
  route("GET", "/v1/audit/checkpoints", Routes::get_checkpoints);
  route("GET", "/v1/audit/leaves", Routes::get_leaves);
  route("POST", "/v1/audit/cosignatures", Routes::post_cosignature);
}

}  // namespace qanat::app
