#include "gateway/admit/shared_spending.hh"

#include <algorithm>

namespace qanat::admit {

void SharedSpending::create(meter::Store& store) {
  meter::Batch alone(store);
  store.execute(R"sql(
CREATE TABLE IF NOT EXISTS spendings(
  account TEXT NOT NULL, gateway TEXT NOT NULL, spent_nano BIGINT NOT NULL, number BIGINT NOT NULL,
  PRIMARY KEY(account, gateway));
CREATE INDEX IF NOT EXISTS spendings_by_number ON spendings(number);
CREATE TABLE IF NOT EXISTS budget_alerts(
  account TEXT NOT NULL, limit_nano BIGINT NOT NULL, percent BIGINT NOT NULL, gateway TEXT NOT NULL,
  PRIMARY KEY(account, limit_nano, percent));
)sql");
  alone.commit();
}

// There is one writer at a time: numbers are committed in their order.
void SharedSpending::put(const std::string& gateway, const std::map<std::string, meter::Nano>& spent) {
  if (spent.empty()) return;
  meter::Batch batch(store_);
  std::int64_t number = 1;
  meter::Query last(store_, "SELECT COALESCE(MAX(number), 0) FROM spendings");
  while (last.step()) number = last.integer(0) + 1;
  meter::Query q(
      store_,
      "INSERT INTO spendings VALUES(?,?,?,?) ON CONFLICT(account, gateway) DO UPDATE SET spent_nano "
      "= excluded.spent_nano, number = excluded.number");
  for (const auto& [account, amount] : spent)
    q.bind(account).bind(gateway).bind(static_cast<std::int64_t>(amount)).bind(number).run();
  batch.commit();
}

std::vector<SharedSpending::Told> SharedSpending::since(std::int64_t& number, const std::string& gateway) {
  std::vector<Told> told;
  meter::Query q(store_, "SELECT account, gateway, spent_nano, number FROM spendings WHERE number > ?");
  q.bind(number);
  while (q.step()) {
    number = std::max(number, q.integer(3));
    if (q.text(1) != gateway) told.push_back({q.text(0), q.text(1), q.integer(2)});
  }
  return told;
}

bool SharedSpending::claim(const std::string& gateway, const Accounts::Alert& alert) {
  meter::Batch batch(store_);
  meter::Query q(
      store_,
      "INSERT INTO budget_alerts VALUES(?,?,?,?) ON CONFLICT(account, limit_nano, percent) DO NOTHING");
  q.bind(alert.account).bind(static_cast<std::int64_t>(alert.limit));
  q.bind(std::int64_t{alert.percent}).bind(gateway).run();
  const bool first = store_.changes() == 1;
  batch.commit();
  return first;
}

void SharedSpending::forget(const std::string& account) {
  meter::Query q(store_, "DELETE FROM budget_alerts WHERE account = ?");
  q.bind(account).run();
}

}  // namespace qanat::admit
