#include "gateway/jobs/job_book.hh"

#include <nlohmann/json.hpp>

namespace qanat::jobs {

std::string leaf_of(const UseRow& r) {
  nlohmann::ordered_json leaf;
  leaf["number"] = r.number;
  leaf["contract"] = r.contract;
  leaf["artefact"] = r.artefact;
  leaf["user"] = r.user;
  leaf["site"] = r.site;
  leaf["purpose"] = r.purpose;
  leaf["use"] = r.use;
  leaf["unix_ms"] = r.unix_ms;
  leaf["allowed"] = r.allowed;
  leaf["clause"] = r.clause;
  return leaf.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void JobBook::create(meter::Store& store) {
  meter::Batch alone(store);
  store.execute(
      "CREATE TABLE IF NOT EXISTS job_documents(gateway TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, "
      "tenant TEXT NOT NULL, created_ms BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(gateway, kind, id));"
      "CREATE TABLE IF NOT EXISTS artefact_uses(gateway TEXT NOT NULL, number BIGINT NOT NULL, "
      "contract TEXT NOT NULL, artefact TEXT NOT NULL, user_name TEXT NOT NULL, site TEXT NOT NULL, "
      "purpose TEXT NOT NULL, use_name TEXT NOT NULL, at_ms BIGINT NOT NULL, allowed BIGINT NOT NULL, "
      "clause TEXT NOT NULL, PRIMARY KEY(gateway, number));"
      "CREATE TABLE IF NOT EXISTS audit_leaves(gateway TEXT NOT NULL, number BIGINT NOT NULL, leaf TEXT NOT "
      "NULL, "
      "PRIMARY KEY(gateway, number))");
  alone.commit();
}

void JobBook::put(const std::string& kind, const Document& d) {
  meter::Batch transaction(store_);
  meter::Query q(store_,
                 "INSERT INTO job_documents VALUES(?,?,?,?,?,?) ON CONFLICT(gateway, kind, id) DO UPDATE SET "
                 "body = excluded.body");
  q.bind(gateway_).bind(kind).bind(d.id).bind(d.tenant).bind(d.created_unix_ms).bind(d.body).run();
  transaction.commit();
}

std::optional<Document> JobBook::get(const std::string& kind, const std::string& id) {
  meter::Query q(
      store_,
      "SELECT id, tenant, created_ms, body FROM job_documents WHERE gateway = ? AND kind = ? AND id = ?");
  q.bind(gateway_).bind(kind).bind(id);
  if (!q.step()) return std::nullopt;
  return Document{q.text(0), q.text(1), q.integer(2), q.text(3)};
}

std::vector<Document> JobBook::list(const std::string& kind, const std::string& tenant) {
  std::vector<Document> list;
  meter::Query q(
      store_,
      "SELECT id, tenant, created_ms, body FROM job_documents WHERE gateway = ?1 AND kind = ?2 AND "
      "(?3 = '' OR tenant = ?3) ORDER BY created_ms DESC, id DESC");
  q.bind(gateway_).bind(kind).bind(tenant);
  while (q.step()) list.push_back({q.text(0), q.text(1), q.integer(2), q.text(3)});
  return list;
}

bool JobBook::erase(const std::string& kind, const std::string& id) {
  meter::Batch transaction(store_);
  meter::Query q(store_, "DELETE FROM job_documents WHERE gateway = ? AND kind = ? AND id = ?");
  q.bind(gateway_).bind(kind).bind(id).run();
  const bool there = store_.changes() != 0;
  transaction.commit();
  return there;
}

std::uint64_t JobBook::uses(const std::string& contract) {
  meter::Query q(store_,
                 "SELECT COUNT(*) FROM artefact_uses WHERE gateway = ? AND contract = ? AND allowed = 1");
  q.bind(gateway_).bind(contract);
  return q.step() ? static_cast<std::uint64_t>(q.integer(0)) : 0;
}

std::uint64_t JobBook::next_leaf() {
  meter::Query q(store_, "SELECT COUNT(*) FROM audit_leaves WHERE gateway = ?");
  q.bind(gateway_);
  return q.step() ? static_cast<std::uint64_t>(q.integer(0)) : 0;
}

void JobBook::add_use(const UseRow& r) {
  meter::Batch transaction(store_);
  const auto number = static_cast<std::int64_t>(r.number);
  meter::Query row(store_, "INSERT INTO artefact_uses VALUES(?,?,?,?,?,?,?,?,?,?,?)");
  row.bind(gateway_).bind(number).bind(r.contract).bind(r.artefact).bind(r.user).bind(r.site).bind(r.purpose);
  row.bind(r.use).bind(r.unix_ms).bind(std::int64_t{r.allowed}).bind(r.clause).run();
  meter::Query leaf(store_, "INSERT INTO audit_leaves VALUES(?,?,?)");
  leaf.bind(gateway_).bind(number).bind(leaf_of(r)).run();
  transaction.commit();
}

std::vector<UseRow> JobBook::use_rows(const std::string& contract, const std::string& artefact) {
  std::vector<UseRow> rows;
  meter::Query q(
      store_,
      "SELECT number, contract, artefact, user_name, site, purpose, use_name, at_ms, allowed, clause FROM "
      "artefact_uses WHERE gateway = ?1 AND (?2 = '' OR contract = ?2) AND (?3 = '' OR artefact = ?3) "
      "ORDER BY number");
  q.bind(gateway_).bind(contract).bind(artefact);
  while (q.step()) {
    UseRow r;
    r.number = static_cast<std::uint64_t>(q.integer(0));
    r.contract = q.text(1);
    r.artefact = q.text(2);
    r.user = q.text(3);
    r.site = q.text(4);
    r.purpose = q.text(5);
    r.use = q.text(6);
    r.unix_ms = q.integer(7);
    r.allowed = q.integer(8) != 0;
    r.clause = q.text(9);
    rows.push_back(std::move(r));
  }
  return rows;
}

std::vector<std::string> JobBook::leaves() {
  std::vector<std::string> list;
  meter::Query q(store_, "SELECT leaf FROM audit_leaves WHERE gateway = ? ORDER BY number");
  q.bind(gateway_);
  while (q.step()) list.push_back(q.text(0));
  return list;
}

}  // namespace qanat::jobs
