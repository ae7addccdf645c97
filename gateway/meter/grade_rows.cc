#include "gateway/meter/grade_rows.hh"

#include <map>
#include <utility>

namespace qanat::meter {
namespace {

std::int64_t integer(std::uint64_t n) { return static_cast<std::int64_t>(n); }

// Counts by cause, in the order of their numbers.
std::string text_of(const std::array<std::uint64_t, kMissCount>& misses) {
  std::string out;
  for (std::size_t i = 0; i < kMissCount; ++i) out += (i > 0 ? " " : "") + std::to_string(misses[i]);
  return out;
}

void add_misses(Grade& grade, const std::string& text) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < kMissCount && at < text.size(); ++i) {
    std::uint64_t count = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
      count = count * 10 + static_cast<std::uint64_t>(text[at] - '0');
    grade.misses[i] += count;
    ++at;
  }
}

}  // namespace

void GradeRows::create(Store& store) {
  Batch alone(store);
  store.execute(
      "CREATE TABLE IF NOT EXISTS grades(gateway TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL, "
      "day BIGINT NOT NULL, calls BIGINT NOT NULL, answered BIGINT NOT NULL, kept BIGINT NOT NULL, "
      "misses TEXT NOT NULL, ttft TEXT NOT NULL, tpot TEXT NOT NULL, PRIMARY KEY(tenant, day, model, "
      "gateway));"
      "CREATE TABLE IF NOT EXISTS misses(call TEXT PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, "
      "at_ms BIGINT NOT NULL, cause BIGINT NOT NULL, detail TEXT NOT NULL, ttft_us BIGINT NOT NULL, "
      "tpot_us BIGINT NOT NULL, wished_ttft_us BIGINT NOT NULL, wished_tpot_us BIGINT NOT NULL);"
      "CREATE INDEX IF NOT EXISTS misses_by_tenant ON misses(tenant, at_ms);"
      "CREATE INDEX IF NOT EXISTS misses_by_time ON misses(at_ms)");
  alone.commit();
}

void GradeRows::add(const GradeBook::Gathered& gathered) {
  Batch transaction(store_);
  Query look(store_,
             "SELECT calls, answered, kept, misses, ttft, tpot FROM grades WHERE tenant = ? AND day = ? AND "
             "model = ? AND gateway = ?");
  Query put(store_,
            "INSERT INTO grades(tenant, day, model, gateway, calls, answered, kept, misses, ttft, tpot) "
            "VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(tenant, day, model, gateway) DO UPDATE SET calls = "
            "excluded.calls, answered = excluded.answered, kept = excluded.kept, misses = excluded.misses, "
            "ttft = excluded.ttft, tpot = excluded.tpot");
  for (const auto& [key, grade] : gathered.grades) {
    Grade sum = grade;
    look.bind(key.tenant).bind(key.day).bind(key.model).bind(gateway_);
    while (look.step()) {
      sum.calls += static_cast<std::uint64_t>(look.integer(0));
      sum.answered += static_cast<std::uint64_t>(look.integer(1));
      sum.kept += static_cast<std::uint64_t>(look.integer(2));
      add_misses(sum, look.text(3));
      sum.ttft.add(Spread::parse(look.text(4)));
      sum.tpot.add(Spread::parse(look.text(5)));
    }
    put.bind(key.tenant).bind(key.day).bind(key.model).bind(gateway_);
    put.bind(integer(sum.calls)).bind(integer(sum.answered)).bind(integer(sum.kept));
    put.bind(text_of(sum.misses)).bind(sum.ttft.text()).bind(sum.tpot.text()).run();
  }
  Query miss(store_, "INSERT INTO misses VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(call) DO NOTHING");
  for (const MissLine& m : gathered.misses) {
    miss.bind(m.call).bind(m.tenant).bind(m.model).bind(m.unix_ms);
    miss.bind(static_cast<std::int64_t>(m.miss)).bind(m.detail).bind(m.ttft_us).bind(m.tpot_us);
    miss.bind(m.wished_ttft_us).bind(m.wished_tpot_us).run();
  }
  transaction.commit();
}

void GradeRows::forget(std::int64_t now_unix_ms) {
  Query grades(store_, "DELETE FROM grades WHERE day < ? AND gateway = ?");
  grades.bind((now_unix_ms - kGradesFor_ms) / GradeBook::kDay_ms).bind(gateway_).run();
  Query(store_, "DELETE FROM misses WHERE at_ms < ?").bind(now_unix_ms - kMissesFor_ms).run();
}

std::vector<GradeRows::Row> GradeRows::grades(const std::string& tenant, std::int64_t since_unix_ms) {
  std::map<std::pair<std::string, std::string>, Grade> sums;
  Query q(store_,
          "SELECT tenant, model, calls, answered, kept, misses, ttft, tpot FROM grades "
          "WHERE (?1 = '' OR tenant = ?1) AND day >= ?2");
  q.bind(tenant).bind(since_unix_ms / GradeBook::kDay_ms);
  while (q.step()) {
    Grade& sum = sums[{q.text(0), q.text(1)}];
    sum.calls += static_cast<std::uint64_t>(q.integer(2));
    sum.answered += static_cast<std::uint64_t>(q.integer(3));
    sum.kept += static_cast<std::uint64_t>(q.integer(4));
    add_misses(sum, q.text(5));
    sum.ttft.add(Spread::parse(q.text(6)));
    sum.tpot.add(Spread::parse(q.text(7)));
  }
  std::vector<Row> rows;
  for (auto& [key, grade] : sums) rows.push_back({key.first, key.second, std::move(grade)});
  return rows;
}

std::vector<MissLine> GradeRows::misses(const std::string& tenant, std::int64_t since_unix_ms,
                                        std::size_t limit) {
  std::vector<MissLine> lines;
  Query q(
      store_,
      "SELECT call, tenant, model, at_ms, cause, detail, ttft_us, tpot_us, wished_ttft_us, wished_tpot_us "
      "FROM misses WHERE (?1 = '' OR tenant = ?1) AND at_ms >= ?2 ORDER BY at_ms DESC, call LIMIT ?3");
  q.bind(tenant).bind(since_unix_ms).bind(static_cast<std::int64_t>(limit));
  while (q.step()) {
    MissLine m;
    m.call = q.text(0);
    m.tenant = q.text(1);
    m.model = q.text(2);
    m.unix_ms = q.integer(3);
    const std::int64_t cause = q.integer(4);
    m.miss = cause >= 0 && cause < std::int64_t{kMissCount} ? static_cast<Miss>(cause) : Miss::None;
    m.detail = q.text(5);
    m.ttft_us = q.integer(6);
    m.tpot_us = q.integer(7);
    m.wished_ttft_us = q.integer(8);
    m.wished_tpot_us = q.integer(9);
    lines.push_back(std::move(m));
  }
  return lines;
}

}  // namespace qanat::meter
