#include "gateway/meter/usage.hh"

#include <utility>

namespace qanat::meter {
namespace {

std::string among(const char* column, const std::vector<std::string>& values) {
  if (values.empty()) return {};
  std::string text = std::string(" AND ") + column + " IN (?";
  for (std::size_t i = 1; i < values.size(); ++i) text += ", ?";
  return text + ")";
}

}  // namespace

std::vector<Usage> usage_of(Store& store, const UsageQuestion& q) {
  const auto column = [](bool wanted, const char* name, const char* otherwise) {
    return std::string(wanted ? name : otherwise);
  };
  // Sums of halves, as 64 bits do not hold every sum of 64 bits.
  std::string sql = "SELECT c.started_ms / ?, " + column(q.by_project, "c.project", "''") + ", " +
                    column(q.by_key, "c.key", "''") + ", " + column(q.by_model, "c.model", "''") + ", " +
                    column(q.by_batch, "c.batch", "0") +
                    ", COUNT(*), SUM(e.tokens_in), SUM(c.cached_tokens), SUM(e.tokens_out), "
                    "SUM((-e.amount_nano) >> 32), SUM((-e.amount_nano) & 4294967295) "
                    "FROM calls c JOIN entries e ON e.call = c.id AND e.kind = 'charge' AND e.account LIKE "
                    "'tenant:%' WHERE c.tenant = ? AND c.started_ms >= ? AND c.started_ms < ?";
  if (q.kind) sql += " AND c.kind = ?";
  if (q.batch) sql += " AND c.batch = ?";
  sql += among("c.project", q.projects) + among("c.key", q.keys) + among("c.model", q.models) +
         " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";
  Query query(store, sql);
  query.bind(q.width_ms).bind(q.tenant).bind(q.from_ms).bind(q.to_ms);
  if (q.kind) query.bind(static_cast<std::int64_t>(*q.kind));
  if (q.batch) query.bind(std::int64_t{*q.batch});
  for (const auto* list : {&q.projects, &q.keys, &q.models})
    for (const std::string& each : *list) query.bind(each);
  std::vector<Usage> out;
  const auto number = [&](int at) { return static_cast<std::uint64_t>(query.integer(at)); };
  while (query.step()) {
    Usage u;
    u.begins_ms = query.integer(0) * q.width_ms;
    u.project = query.text(1);
    u.key = query.text(2);
    u.model = query.text(3);
    u.batch = query.integer(4) != 0;
    u.calls = number(5);
    u.tokens_in = number(6);
    u.tokens_cached = number(7);
    u.tokens_out = number(8);
    u.amount = Nano{query.integer(9)} * (Nano{1} << 32) + Nano{query.integer(10)};
    out.push_back(std::move(u));
  }
  return out;
}

}  // namespace qanat::meter
