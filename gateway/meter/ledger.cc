#include "gateway/meter/ledger.hh"

#include <algorithm>

#include "gateway/meter/call_leaf.hh"
#include "gateway/meter/sql_integer.hh"

namespace qanat::meter {
namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS calls(
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, project TEXT NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL,
  pool TEXT NOT NULL, path TEXT NOT NULL, local BIGINT NOT NULL, currency TEXT NOT NULL,
  input_nano BIGINT NOT NULL, output_nano BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL,
  delivered_tokens BIGINT NOT NULL, outcome BIGINT NOT NULL, source BIGINT NOT NULL,
  started_ms BIGINT NOT NULL, ended_ms BIGINT NOT NULL, tries BIGINT NOT NULL, decision TEXT NOT NULL,
  cached_nano BIGINT NOT NULL DEFAULT -1, cached_tokens BIGINT NOT NULL DEFAULT 0,
  gateway TEXT NOT NULL DEFAULT '', kind BIGINT NOT NULL DEFAULT 0, batch BIGINT NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS calls_by_tenant ON calls(tenant, started_ms);
CREATE INDEX IF NOT EXISTS calls_by_end ON calls(ended_ms);
CREATE TABLE IF NOT EXISTS entries(
  call TEXT NOT NULL REFERENCES calls(id), kind TEXT NOT NULL, account TEXT NOT NULL,
  tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL, amount_nano BIGINT NOT NULL,
  PRIMARY KEY(call, kind, account)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pool_usage(
  pool TEXT NOT NULL, sequence BIGINT NOT NULL, call TEXT NOT NULL, prompt_tokens BIGINT NOT NULL,
  completion_tokens BIGINT NOT NULL, input_nano BIGINT NOT NULL, output_nano BIGINT NOT NULL,
  record TEXT NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY(pool, sequence)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pool_usage_by_call ON pool_usage(call);
CREATE INDEX IF NOT EXISTS pool_usage_by_state ON pool_usage(state);
)sql";

std::string tenant_account(const Call& call) { return "tenant:" + call.tenant + "/" + call.project; }

// SQLite sums in 64 bits; the halves of 2^31 rows still fit.
constexpr const char* kHalves =
    "COALESCE(SUM(amount_nano >> 32), 0), COALESCE(SUM(amount_nano & 4294967295), 0)";
Nano joined(std::int64_t high, std::int64_t low) { return (Nano{high} * (Nano{1} << 32)) + Nano{low}; }

constexpr const char* kRowColumns =
    "c.id, c.tenant, c.project, c.key, c.model, c.pool, c.path, c.local, c.currency, c.input_nano, "
    "c.output_nano, "
    "c.prompt_tokens, c.delivered_tokens, c.outcome, c.source, c.started_ms, c.ended_ms, c.tries, "
    "c.decision, "
    "COALESCE(e.tokens_in, 0), COALESCE(e.tokens_out, 0), COALESCE(-e.amount_nano, 0), c.cached_nano, "
    "c.cached_tokens, c.kind, c.batch, "
    "EXISTS(SELECT 1 FROM pool_usage u WHERE u.call = c.id AND u.pool = c.pool) "
    "FROM calls c LEFT JOIN entries e ON e.call = c.id AND e.kind = 'charge' AND e.account LIKE 'tenant:%' ";

struct FullRow {
  Ledger::Row row;
  std::uint64_t tokens_in, tokens_out;
};
FullRow read(const Query& q) {
  FullRow full;
  Settlement& s = full.row.settlement;
  s.call = {.id = q.text(0),
            .tenant = q.text(1),
            .project = q.text(2),
            .key = q.text(3),
            .model = q.text(4),
            .pool = q.text(5),
            .path = q.text(6),
            .price = {q.text(8), q.integer(9), q.integer(10), q.integer(22)},
            .started_unix_ms = q.integer(15),
            .local = q.integer(7) != 0,
            .kind = static_cast<Call::Kind>(q.integer(24)),
            .batch = q.integer(25) != 0};
  s.prompt_tokens = u64(q.integer(11));
  s.cached_tokens = u64(q.integer(23));
  s.delivered_tokens = u64(q.integer(12));
  s.outcome = static_cast<Outcome>(q.integer(13));
  s.source = static_cast<UsageSource>(q.integer(14));
  s.ended_unix_ms = q.integer(16);
  s.tries = static_cast<std::uint32_t>(q.integer(17));
  s.decision = q.text(18);
  full.tokens_in = u64(q.integer(19));
  full.tokens_out = u64(q.integer(20));
  full.row.amount_nano = q.integer(21);
  full.row.reconciled = q.integer(26) != 0;
  full.row.price = version(s.call.price);
  return full;
}

// PostgreSQL's tables are all without row ids.
std::string schema(bool shared) {
  constexpr std::string_view kOwn = " WITHOUT ROWID";
  std::string text = kSchema;
  for (std::size_t at = 0; shared && (at = text.find(kOwn)) != std::string::npos;)
    text.erase(at, kOwn.size());
  return text;
}

// Ledgers from before cached tokens had a price, or calls a gateway (PostgreSQL's have always had both), or a kind.
void add_columns(Store& store) {
  if (store.shared()) {
    for (const char* column : {"kind", "batch"})
      store.execute(
          (std::string("ALTER TABLE calls ADD COLUMN IF NOT EXISTS ") + column + " BIGINT NOT NULL DEFAULT 0")
              .c_str());
    return;
  }
  const auto missing = [&](const char* column) {
    Query q(store, "SELECT COUNT(*) FROM pragma_table_info('calls') WHERE name = ?");
    q.bind(std::string_view(column));
    return q.step() && q.integer(0) == 0;
  };
  if (missing("cached_tokens")) {
    store.execute("ALTER TABLE calls ADD COLUMN cached_nano BIGINT NOT NULL DEFAULT -1");
    store.execute("ALTER TABLE calls ADD COLUMN cached_tokens BIGINT NOT NULL DEFAULT 0");
  }
  if (missing("gateway")) store.execute("ALTER TABLE calls ADD COLUMN gateway TEXT NOT NULL DEFAULT ''");
  if (missing("kind")) {
    store.execute("ALTER TABLE calls ADD COLUMN kind BIGINT NOT NULL DEFAULT 0");
    store.execute("ALTER TABLE calls ADD COLUMN batch BIGINT NOT NULL DEFAULT 0");
  }
}

}  // namespace

struct Ledger::Queries {
  Query insert_call, insert_entry, usage_of_call, call_for_square, mark_usage, insert_usage;
  explicit Queries(Store& db)
      : insert_call(
            db,
            "INSERT INTO calls VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) "
            "DO NOTHING"),
        insert_entry(db, "INSERT INTO entries VALUES(?,?,?,?,?,?)"),
        usage_of_call(db,
                      "SELECT pool, sequence, prompt_tokens, completion_tokens, input_nano, output_nano "
                      "FROM pool_usage WHERE call = ? AND state = 'waiting'"),
        call_for_square(db,
                        "SELECT pool, input_nano, output_nano, prompt_tokens, delivered_tokens FROM calls "
                        "WHERE id = ?"),
        mark_usage(db, "UPDATE pool_usage SET state = ? WHERE pool = ? AND sequence = ?"),
        insert_usage(db,
                     "INSERT INTO pool_usage VALUES(?,?,?,?,?,?,?,?,'waiting') "
                     "ON CONFLICT(pool, sequence) DO NOTHING") {}
};

Ledger::Ledger(const std::string& where, std::string gateway)
    : store_(open_store(where)), gateway_(std::move(gateway)) {
  {
    Batch alone(*store_);  // two gateways may start at once
    store_->execute(schema(store_->shared()).c_str());
    CallAudit::create(*store_);
    alone.commit();
  }
  add_columns(*store_);
  queries_ = std::make_unique<Queries>(*store_);
  audit_ = std::make_unique<CallAudit>(*store_, gateway_);
}

Ledger::~Ledger() = default;

void Ledger::post(const std::string& call, const std::string& kind, const std::string& from,
                  const std::string& to, std::uint64_t tokens_in, std::uint64_t tokens_out,
                  std::int64_t amount) {
  const auto entry = [&](const std::string& account, std::int64_t signed_amount) {
    queries_->insert_entry.bind(call).bind(kind).bind(account);
    queries_->insert_entry.bind(i64(tokens_in)).bind(i64(tokens_out)).bind(signed_amount).run();
  };
  entry(from, -amount);
  entry(to, amount);
}

std::size_t Ledger::settle(std::span<const Settlement> settlements) {
  std::size_t settled = 0;
  Batch transaction(*store_);
  audit_->begin();
  for (const Settlement& given : settlements) {
    Settlement s = given;
    const Call& c = s.call;
    const std::uint64_t delivered = s.delivered_tokens = std::min(s.delivered_tokens, kMaxCallTokens);
    const std::uint64_t prompt = s.prompt_tokens = std::min(s.prompt_tokens, kMaxCallTokens);
    const std::uint64_t cached = s.cached_tokens = std::min(s.cached_tokens, prompt);
    Query& q = queries_->insert_call;
    q.bind(c.id).bind(c.tenant).bind(c.project).bind(c.key).bind(c.model).bind(c.pool).bind(c.path);
    q.bind(std::int64_t{c.local}).bind(c.price.currency).bind(c.price.input_nano).bind(c.price.output_nano);
    q.bind(i64(prompt)).bind(i64(delivered)).bind(std::int64_t(s.outcome)).bind(std::int64_t(s.source));
    q.bind(c.started_unix_ms).bind(s.ended_unix_ms).bind(std::int64_t{s.tries}).bind(s.decision);
    q.bind(c.price.cached_nano).bind(i64(cached)).bind(gateway_);
    q.bind(static_cast<std::int64_t>(c.kind)).bind(std::int64_t{c.batch}).run();
    if (store_->changes() == 0) continue;
    ++settled;
    const auto amount = static_cast<std::int64_t>(charge(c.price, prompt, delivered, cached));
    if (delivered != 0 || prompt != 0)
      post(c.id, "charge", tenant_account(c), "pool:" + c.pool, prompt, delivered, amount);
    square(c.id);
    audit_->append(std::move(s), amount);
  }
  transaction.commit();
  audit_->committed();
  return settled;
}

// What pools reported for the call against what was delivered of it.
void Ledger::square(const std::string& call) {
  struct Waiting {
    std::string pool;
    std::int64_t sequence;
    std::uint64_t prompt, completion;
    Price price;
  };
  std::vector<Waiting> waiting;
  queries_->usage_of_call.bind(call);
  while (queries_->usage_of_call.step()) {
    const Query& q = queries_->usage_of_call;
    waiting.push_back({q.text(0), q.integer(1), u64(q.integer(2)), u64(q.integer(3)),
                       Price{"", q.integer(4), q.integer(5)}});
  }
  if (waiting.empty()) return;

  std::string won_by;
  Price pinned;
  std::uint64_t billed_prompt = 0, delivered = 0;
  bool known = false;
  queries_->call_for_square.bind(call);
  while (queries_->call_for_square.step()) {
    const Query& q = queries_->call_for_square;
    known = true;
    won_by = q.text(0);
    pinned.input_nano = q.integer(1);
    pinned.output_nano = q.integer(2);
    billed_prompt = u64(q.integer(3));
    delivered = u64(q.integer(4));
  }
  if (!known) return;

  for (const Waiting& w : waiting) {
    const bool winner = w.pool == won_by;
    const std::uint64_t paid_in = winner ? billed_prompt : 0, paid_out = winner ? delivered : 0;
    const bool disputed = w.completion < paid_out || w.prompt < paid_in;
    if (!disputed && (w.completion > paid_out || w.prompt > paid_in)) {
      const std::uint64_t in = w.prompt - paid_in, out = w.completion - paid_out;
      const Nano amount = charge(winner ? pinned : w.price, in, out);
      // The sequence makes the kind unique: a pool may report several tries of one call.
      post(call, "undelivered:" + w.pool + ":" + std::to_string(w.sequence), "gateway:undelivered",
           "pool:" + w.pool, in, out, static_cast<std::int64_t>(amount));
    }
    queries_->mark_usage.bind(disputed ? "disputed" : "matched").bind(w.pool).bind(w.sequence).run();
  }
}

std::uint64_t Ledger::reconcile(const std::string& pool, const Price& price,
                                std::span<const PoolUsage> records) {
  std::uint64_t last = last_sequence(pool);
  Batch transaction(*store_);
  for (const PoolUsage& r : records) {
    Query& q = queries_->insert_usage;
    q.bind(pool).bind(i64(r.sequence)).bind(r.call).bind(i64(std::min(r.prompt_tokens, kMaxCallTokens)));
    q.bind(i64(std::min(r.completion_tokens, kMaxCallTokens))).bind(price.input_nano).bind(price.output_nano);
    q.bind(r.record).run();
    last = std::max(last, r.sequence);
    if (store_->changes() != 0) square(r.call);
  }
  transaction.commit();
  return last;
}

std::uint64_t Ledger::last_sequence(const std::string& pool) {
  Query q(*store_, "SELECT COALESCE(MAX(sequence), 0) FROM pool_usage WHERE pool = ?");
  q.bind(pool);
  return q.step() ? u64(q.integer(0)) : 0;
}

Bill Ledger::bill(const std::string& tenant, std::int64_t since_unix_ms) {
  Bill bill;
  Query q(*store_, std::string("SELECT ") + kRowColumns +
                       "WHERE c.tenant = ? AND c.started_ms >= ? ORDER BY c.started_ms, c.id");
  q.bind(tenant).bind(since_unix_ms);
  while (q.step()) {
    const FullRow full = read(q);
    const Settlement& s = full.row.settlement;
    bill.lines.push_back({s.call.id, s.call.started_unix_ms, s.call.project, s.call.key, s.call.model,
                          s.call.pool, full.row.price, std::string(to_string(s.outcome)),
                          std::string(to_string(s.source)), s.call.local, full.tokens_in, s.cached_tokens,
                          full.tokens_out, full.row.amount_nano});
    bill.tokens_in += full.tokens_in;
    bill.tokens_out += full.tokens_out;
    bill.total += full.row.amount_nano;
  }
  return bill;
}

Nano Ledger::sum(const std::string& where) {
  Query q(*store_, std::string("SELECT ") + kHalves + " FROM entries WHERE " + where);
  return q.step() ? joined(q.integer(0), q.integer(1)) : 0;
}

Totals Ledger::totals() {
  Totals t;
  const auto count = [&](const char* sql) {
    Query q(*store_, sql);
    return q.step() ? u64(q.integer(0)) : 0;
  };
  t.calls = count("SELECT COUNT(*) FROM calls");
  t.tokens_delivered = count("SELECT COALESCE(SUM(delivered_tokens), 0) FROM calls");
  t.tokens_billed = count("SELECT COALESCE(SUM(tokens_out), 0) FROM entries WHERE account LIKE 'tenant:%'");
  t.prompt_tokens_billed =
      count("SELECT COALESCE(SUM(tokens_in), 0) FROM entries WHERE account LIKE 'tenant:%'");
  t.tokens_undelivered =
      count("SELECT COALESCE(SUM(tokens_out), 0) FROM entries WHERE account = 'gateway:undelivered'");
  t.disputed = count("SELECT COUNT(*) FROM pool_usage WHERE state = 'disputed'");
  t.waiting = count("SELECT COUNT(*) FROM pool_usage WHERE state = 'waiting'");
  t.total = -sum("account LIKE 'tenant:%'");
  t.sum = sum("1 = 1");
  return t;
}

std::vector<Spend> Ledger::spend(const std::string& gateway) {
  std::vector<Spend> spend;
  Query q(*store_, std::string("SELECT c.tenant, c.project, c.key, ") + kHalves +
                       " FROM entries e JOIN calls c ON c.id = e.call WHERE e.account LIKE 'tenant:%' "
                       "AND (?1 = '' OR c.gateway = ?1) GROUP BY c.tenant, c.project, c.key");
  q.bind(gateway);
  while (q.step()) spend.push_back({q.text(0), q.text(1), q.text(2), -joined(q.integer(3), q.integer(4))});
  return spend;
}

std::optional<Ledger::Row> Ledger::call(const std::string& id, const std::string& tenant) {
  Query q(*store_, std::string("SELECT ") + kRowColumns + "WHERE c.id = ?1 AND (?2 = '' OR c.tenant = ?2)");
  q.bind(id).bind(tenant);
  if (!q.step()) return std::nullopt;
  return read(q).row;
}

Ledger::RowState Ledger::held_against(const CallAudit::Leaf& leaf) {
  if (leaf.call.empty()) return RowState::Same;
  const auto row = call(leaf.call);
  if (!row) return RowState::Missing;
  return leaf_of(row->settlement, row->amount_nano, leaf.secret) == leaf.text ? RowState::Same
                                                                              : RowState::Differs;
}

std::vector<Ledger::Row> Ledger::latest(std::size_t limit) {
  std::vector<Row> rows;
  Query q(*store_, std::string("SELECT ") + kRowColumns + "ORDER BY c.ended_ms DESC, c.id LIMIT ?");
  q.bind(i64(limit));
  while (q.step()) rows.push_back(read(q).row);
  return rows;
}

}  // namespace qanat::meter
