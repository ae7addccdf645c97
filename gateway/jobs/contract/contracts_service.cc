#include "gateway/jobs/contract/contracts_service.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace qanat::jobs {

using boost::asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

awaitable<void> no_contract(base::Responder& out) {
  co_await out.error(404, "not_found", "no such contract", "GET /qanat/v1/contracts lists them");
}

awaitable<void> bad_terms(base::Responder& out, std::string message) {
  co_await out.error(
      400, "invalid_value", message,
      R"({"artefact":"wards-2025","users":["clinic"],"sites":["far1"],"purposes":["finetune"],"uses":3})");
}

bool names_of(const json& from, const char* key, std::vector<std::string>& into) {
  const auto it = from.find(key);
  if (it == from.end()) return true;
  if (!it->is_array() || it->size() > kMaxNames) return false;
  for (const json& name : *it) {
    if (!name.is_string()) return false;
    into.push_back(name.get<std::string>());
  }
  return true;
}

bool number_of(const json& from, const char* key, std::int64_t& into) {
  const auto it = from.find(key);
  if (it == from.end() || it->is_null()) return true;
  if (!it->is_number_unsigned() || it->get<std::uint64_t>() > INT64_MAX) return false;
  into = it->get<std::int64_t>();
  return true;
}

}  // namespace

// What the book says, each line with the proof that the tree says it too.
awaitable<std::string> ContractsService::report(std::string contract, std::string artefact) {
  const auto work = [this, contract, artefact](meter::Ledger& l) {
    return JobBook(l.store(), desk_.gateway).use_rows(contract, artefact);
  };
  const auto rows = co_await desk_.ledger.query(work);
  const audit::AuditTree& tree = desk_.tree();
  const Digest root = tree.root();
  ordered_json uses = ordered_json::array();
  std::uint64_t allowed = 0;
  bool all = true;
  for (const UseRow& row : rows) {
    const std::string leaf = leaf_of(row);
    // A row that is not in the tree yet was written while this was read.
    if (row.number >= tree.size()) continue;
    const auto path = tree.inclusion(row.number);
    const bool proved = audit::included(audit::leaf_hash(leaf), row.number, tree.size(), path, root);
    all &= proved;
    allowed += row.allowed ? 1 : 0;
    ordered_json use = ordered_json::parse(leaf);
    use["proved"] = proved;
    use["inclusion"] = ordered_json::array();
    for (const Digest& sibling : path) use["inclusion"].push_back(to_string(sibling));
    uses.push_back(std::move(use));
  }
  ordered_json body;
  body["contract"] = contract.empty() ? ordered_json() : ordered_json(contract);
  body["artefact"] = artefact.empty() ? ordered_json() : ordered_json(artefact);
  body["allowed"] = allowed;
  body["refused"] = uses.size() - allowed;
  body["equals_audit_tree"] = all;
  body["tree_size"] = tree.size();
  body["tree_root"] = to_string(root);
  body["uses"] = std::move(uses);
  co_return body.dump();
}

struct ContractsService::Routes {
  using Self = std::shared_ptr<ContractsService>;

  static awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const json asked = json::parse(in.body, nullptr, false);
    if (!asked.is_object() || !asked.contains("artefact") || !asked["artefact"].is_string())
      co_return co_await bad_terms(out, "'artefact' is required");
    Contract c;
    std::int64_t uses = 0;
    if (!names_of(asked, "users", c.users) || !names_of(asked, "sites", c.sites) ||
        !names_of(asked, "purposes", c.purposes))
      co_return co_await bad_terms(out, "'users', 'sites' and 'purposes' are lists of at most 64 names");
    if (!number_of(asked, "uses", uses) || !number_of(asked, "expires_unix_ms", c.expires_unix_ms))
      co_return co_await bad_terms(out, "'uses' and 'expires_unix_ms' are numbers, 0 for no limit");
    c.uses = static_cast<std::uint64_t>(uses);
    const auto file = co_await desk.find_file(asked["artefact"].get<std::string>(), caller.tenant);
    if (!file || file->tenant != caller.tenant)
      co_return co_await refuse(out, Errc::NoSuchArtefact, "no artefact of yours is called so");
    c.id = fresh_id("contract-");
    c.artefact = file->artefact;
    c.owner = caller.tenant;
    c.issued_unix_ms = unix_ms();
    const std::string named = asked.value("class", "internal");
    bool known = false;
    for (const DataClass one : {DataClass::Open, DataClass::Internal, DataClass::Confidential})
      if (to_string(one) == named) c.data_class = one, known = true;
    // What would not come back from its own text is no contract: names with commas, spaces, line ends.
    const std::string text = serialize(c);
    const auto again = parse_contract(text);
    if (!known || !again || *again != c)
      co_return co_await bad_terms(
          out, "names are visible ASCII without commas; 'class' is open, internal or confidential");
    ordered_json body;
    body["id"] = c.id;
    body["object"] = "contract";
    body["artefact"] = to_string(c.artefact);
    body["owner"] = c.owner;
    body["users"] = c.users;
    body["sites"] = c.sites;
    body["purposes"] = c.purposes;
    body["uses"] = c.uses;
    body["expires_unix_ms"] = c.expires_unix_ms;
    body["class"] = named;
    body["revoked"] = false;
    body["text"] = text;
    body["sealed"] = sealed(desk.store.key(), text);
    body["public_key"] = desk.store.key().public_key();
    Document d;
    d.id = c.id;
    d.tenant = caller.tenant;
    d.created_unix_ms = c.issued_unix_ms;
    d.body = body.dump();
    const std::string answer = d.body;
    co_await desk.save("contract", std::move(d));
    co_await out.json(201, answer);
  }

  // The owner's, or one that names the caller among its users.
  static bool concerns(const Document& d, const Caller& caller) {
    if (d.tenant == caller.tenant) return true;
    const json j = json::parse(d.body, nullptr, false);
    const auto users = j.value("users", std::vector<std::string>());
    return std::find(users.begin(), users.end(), caller.tenant) != users.end();
  }

  static awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    ordered_json list = ordered_json::array();
    for (const Document& d : co_await self->desk_.list("contract", ""))
      if (concerns(d, caller)) list.push_back(ordered_json::parse(d.body, nullptr, false));
    co_await out.json(200, list.dump());
  }

  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto d = co_await self->desk_.load("contract", std::string(in.capture("id")));
    if (!d || !concerns(*d, caller)) co_return co_await no_contract(out);
    co_await out.json(200, d->body);
  }

  // Here first, then at every pool; a pool that cannot be reached now refuses nothing new: whatever goes there is judged
  // here before.
  static awaitable<void> revoke(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    auto d = co_await desk.load("contract", std::string(in.capture("id")));
    if (!d || d->tenant != caller.tenant) co_return co_await no_contract(out);
    ordered_json body = ordered_json::parse(d->body);
    body["revoked"] = true;
    d->body = body.dump();
    co_await desk.save("contract", *d);
    ordered_json told = ordered_json::object();
    for (const PoolSite& pool : desk.pools()) {
      base::ClientRequest request;
      request.method = "POST";
      request.target = "/qanat/v1/store/contracts/" + d->id + "/revoke";
      const Place at{pool.origin, pool.id};
      const auto answer = co_await desk.mover.ask(at, std::move(request), "revoke", d->id);
      told[pool.id] = answer && answer->status == 200;
    }
    body["pools_told"] = std::move(told);
    co_await out.json(200, body.dump());
  }

  static awaitable<void> report(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id"));
    const auto d = co_await self->desk_.load("contract", id);
    if (!d || d->tenant != caller.tenant) co_return co_await no_contract(out);
    const std::string body = co_await self->report(id, "");
    co_await out.json(200, body);
  }

  static awaitable<void> artefact_report(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto file = co_await self->desk_.find_file(std::string(in.capture("id")), caller.tenant);
    if (!file || file->tenant != caller.tenant) co_return co_await refuse(out, Errc::NoSuchArtefact);
    const std::string body = co_await self->report("", to_string(file->artefact));
    co_await out.json(200, body);
  }

  static awaitable<void> delete_copies(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const auto file = co_await desk.find_file(std::string(in.capture("id")), caller.tenant);
    if (!file || file->tenant != caller.tenant) co_return co_await refuse(out, Errc::NoSuchArtefact);
    ordered_json sites = ordered_json::array();
    for (const PoolSite& pool : desk.pools()) {
      const Place at{pool.origin, pool.id};
      const auto receipt = co_await desk.mover.remove(at, file->artefact);
      ordered_json one{{"site", pool.id}};
      if (receipt)
        one["attestation"] = ordered_json::parse(*receipt, nullptr, false);
      else
        one["error"] = code(errc_of(receipt.error()));
      sites.push_back(std::move(one));
    }
    const ordered_json body{{"artefact", to_string(file->artefact)}, {"sites", std::move(sites)}};
    co_await out.json(200, body.dump());
  }

  static awaitable<void> audit(Self self, Caller, base::Request&, base::Responder& out) {
    const audit::AuditTree& tree = self->desk_.tree();
    const ordered_json body{{"size", tree.size()}, {"root", to_string(tree.root())}};
    co_await out.json(200, body.dump());
  }
};

void ContractsService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/qanat/v1/contracts", self, Routes::create);
  route(server, desk_, "GET", "/qanat/v1/contracts", self, Routes::list);
  route(server, desk_, "GET", "/qanat/v1/contracts/{id}", self, Routes::get);
  route(server, desk_, "GET", "/qanat/v1/contracts/{id}/report", self, Routes::report);
  route(server, desk_, "POST", "/qanat/v1/contracts/{id}/revoke", self, Routes::revoke);
  route(server, desk_, "GET", "/qanat/v1/artefacts/{id}/report", self, Routes::artefact_report);
  route(server, desk_, "DELETE", "/qanat/v1/artefacts/{id}/copies", self, Routes::delete_copies);
  route(server, desk_, "GET", "/qanat/v1/audit", self, Routes::audit);
}

}  // namespace qanat::jobs
