#include "gateway/meter/service_line.hh"

#include <map>
#include <tuple>

namespace qanat::meter {
namespace {

// Books from before lines had a key.
void add_key_column(Store& store) {
  if (store.shared())
    return store.execute(
        "ALTER TABLE service_lines ADD COLUMN IF NOT EXISTS key_id TEXT NOT NULL DEFAULT ''");
  Query q(store, "SELECT COUNT(*) FROM pragma_table_info('service_lines') WHERE name = 'key_id'");
  if (q.step() && q.integer(0) == 0)
    store.execute("ALTER TABLE service_lines ADD COLUMN key_id TEXT NOT NULL DEFAULT ''");
}

}  // namespace

void ServiceBook::create(Store& store) {
  Batch alone(store);
  store.execute(
      "CREATE TABLE IF NOT EXISTS service_lines(id TEXT PRIMARY KEY, gateway TEXT NOT NULL, tenant TEXT NOT "
      "NULL, "
      "project TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, supplier TEXT NOT NULL, "
      "quantity BIGINT NOT NULL, unit TEXT NOT NULL, amount_nano BIGINT NOT NULL, at_ms BIGINT NOT NULL);"
      "CREATE INDEX IF NOT EXISTS service_lines_by_tenant ON service_lines(tenant, at_ms);"
      "CREATE TABLE IF NOT EXISTS service_entries(line TEXT NOT NULL REFERENCES service_lines(id), "
      "account TEXT NOT NULL, amount_nano BIGINT NOT NULL, PRIMARY KEY(line, account))");
  add_key_column(store);
  alone.commit();
}

std::string ServiceBook::payer(const ServiceLine& l) const {
  return l.tenant.empty() ? "gateway:" + gateway_ : "tenant:" + l.tenant + "/" + l.project;
}

bool ServiceBook::insert(const ServiceLine& l) {
  Query insert(
      store_,
      "INSERT INTO service_lines(id, gateway, tenant, project, kind, subject, supplier, quantity, unit, "
      "amount_nano, at_ms, key_id) VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING");
  insert.bind(l.id).bind(gateway_).bind(l.tenant).bind(l.project).bind(l.kind).bind(l.subject).bind(
      l.supplier);
  insert.bind(static_cast<std::int64_t>(l.quantity))
      .bind(l.unit)
      .bind(l.amount_nano)
      .bind(l.unix_ms)
      .bind(l.key)
      .run();
  if (store_.changes() == 0) return false;
  Query entry(store_, "INSERT INTO service_entries VALUES(?,?,?)");
  entry.bind(l.id).bind(payer(l)).bind(-l.amount_nano).run();
  entry.bind(l.id).bind(l.supplier).bind(l.amount_nano).run();
  return true;
}

bool ServiceBook::book(const ServiceLine& l) {
  Batch transaction(store_);
  if (!insert(l)) return false;
  transaction.commit();
  return true;
}

void ServiceBook::set(const ServiceLine& l) {
  if (insert(l)) return;
  Query line(store_, "UPDATE service_lines SET quantity = ?, amount_nano = ?, at_ms = ? WHERE id = ?");
  line.bind(static_cast<std::int64_t>(l.quantity)).bind(l.amount_nano).bind(l.unix_ms).bind(l.id).run();
  Query entry(store_, "UPDATE service_entries SET amount_nano = ? WHERE line = ? AND account = ?");
  entry.bind(-l.amount_nano).bind(l.id).bind(payer(l)).run();
  entry.bind(l.amount_nano).bind(l.id).bind(l.supplier).run();
}

std::vector<std::string> ServiceBook::broken() {
  std::vector<std::string> ids;
  Query q(store_,
          "SELECT l.id FROM service_lines l LEFT JOIN service_entries e ON e.line = l.id GROUP BY l.id, "
          "l.amount_nano HAVING COUNT(e.line) <> 2 OR SUM(e.amount_nano) <> 0 OR MAX(e.amount_nano) <> "
          "l.amount_nano");
  while (q.step()) ids.push_back(q.text(0));
  return ids;
}

std::vector<ServiceLine> ServiceBook::lines(const std::string& tenant, const std::string& supplier,
                                            std::int64_t since_unix_ms) {
  std::vector<ServiceLine> lines;
  Query q(store_,
          "SELECT id, tenant, project, kind, subject, supplier, quantity, unit, amount_nano, at_ms, "
          "key_id FROM service_lines "
          "WHERE (?1 = '' OR tenant = ?1) AND (?2 = '' OR supplier = ?2) AND at_ms >= ?3 ORDER BY at_ms, id");
  q.bind(tenant).bind(supplier).bind(since_unix_ms);
  while (q.step()) {
    ServiceLine l;
    l.id = q.text(0);
    l.tenant = q.text(1);
    l.project = q.text(2);
    l.kind = q.text(3);
    l.subject = q.text(4);
    l.supplier = q.text(5);
    l.quantity = static_cast<std::uint64_t>(q.integer(6));
    l.unit = q.text(7);
    l.amount_nano = q.integer(8);
    l.unix_ms = q.integer(9);
    l.key = q.text(10);
    lines.push_back(std::move(l));
  }
  return lines;
}

std::vector<ServiceLine> ServiceBook::spend(const std::string& gateway) {
  std::map<std::tuple<std::string, std::string, std::string>, std::int64_t> sums;
  Query q(store_,
          "SELECT tenant, project, key_id, amount_nano FROM service_lines WHERE tenant <> '' AND "
          "(?1 = '' OR gateway = ?1)");
  q.bind(gateway);
  while (q.step()) sums[{q.text(0), q.text(1), q.text(2)}] += q.integer(3);
  std::vector<ServiceLine> spend;
  for (const auto& [who, amount] : sums) {
    ServiceLine& l = spend.emplace_back();
    std::tie(l.tenant, l.project, l.key) = who;
    l.amount_nano = amount;
  }
  return spend;
}

Nano ServiceBook::sum() {
  Nano sum = 0;
  Query q(store_, "SELECT amount_nano FROM service_entries");
  while (q.step()) sum += q.integer(0);
  return sum;
}

}  // namespace qanat::meter
