#include "gateway/meter/pool_statement.hh"

#include <algorithm>
#include <map>

namespace qanat::meter {
namespace {

std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

}  // namespace

PoolStatement statement_of(Store& store, const std::string& pool, std::int64_t since_unix_ms) {
  PoolStatement statement;
  statement.pool = pool;
  std::map<std::string, std::size_t> at;
  const auto line = [&](const std::string& call) -> StatementLine* {
    const auto found = at.find(call);
    return found == at.end() ? nullptr : &statement.lines[found->second];
  };

  Query mine(
      store,
      "SELECT e.call, e.kind, e.tokens_in, e.tokens_out, e.amount_nano, c.started_ms, c.model FROM entries e "
      "JOIN calls c ON c.id = e.call WHERE e.account = ? AND c.started_ms >= ? ORDER BY c.started_ms, "
      "e.call");
  mine.bind("pool:" + pool).bind(since_unix_ms);
  while (mine.step()) {
    const std::string call = mine.text(0);
    if (!line(call)) {
      at[call] = statement.lines.size();
      statement.lines.emplace_back();
      statement.lines.back().call = call;
      statement.lines.back().started_unix_ms = mine.integer(5);
      statement.lines.back().model = mine.text(6);
    }
    StatementLine& l = *line(call);
    if (mine.text(1) == "charge") {
      l.tokens_in = unsigned_of(mine.integer(2));
      l.tokens_out = unsigned_of(mine.integer(3));
      l.charged_nano = mine.integer(4);
      statement.charged += mine.integer(4);
    } else {
      l.undelivered_in += unsigned_of(mine.integer(2));
      l.undelivered_out += unsigned_of(mine.integer(3));
      l.undelivered_nano += mine.integer(4);
      statement.undelivered += mine.integer(4);
    }
  }

  Query theirs(
      store,
      "SELECT e.call, e.amount_nano FROM entries e JOIN calls c ON c.id = e.call WHERE c.pool = ? AND "
      "c.started_ms >= ? AND e.kind = 'charge' AND e.account LIKE 'tenant:%'");
  theirs.bind(pool).bind(since_unix_ms);
  while (theirs.step()) {
    statement.billed -= theirs.integer(1);
    if (StatementLine* l = line(theirs.text(0)))
      l->billed_nano = -theirs.integer(1);
    else
      ++statement.disagreeing;  // a bill that no pool is paid for
  }

  Query records(store, "SELECT call, prompt_tokens, completion_tokens, state FROM pool_usage WHERE pool = ?");
  records.bind(pool);
  while (records.step())
    if (StatementLine* l = line(records.text(0))) {
      l->recorded = true;
      l->recorded_in += unsigned_of(records.integer(1));
      l->recorded_out += unsigned_of(records.integer(2));
      l->disputed |= records.text(3) == "disputed";
    }
  for (const StatementLine& l : statement.lines) {
    statement.disagreeing += l.agrees() ? 0 : 1;
    statement.unrecorded += l.recorded ? 0 : 1;
    statement.disputed += l.disputed ? 1 : 0;
  }
  ServiceBook services(store, {});
  statement.services = services.lines({}, "pool:" + pool, since_unix_ms);
  const auto broken = services.broken();
  for (const ServiceLine& l : statement.services)
    statement.disagreeing += std::count(broken.begin(), broken.end(), l.id) != 0 ? 1 : 0;
  for (const ServiceLine& l : statement.services) statement.for_services += l.amount_nano;
  return statement;
}

}  // namespace qanat::meter
