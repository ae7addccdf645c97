#include "gateway/meter/call_audit.hh"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <bit>

#include "gateway/meter/call_leaf.hh"
#include "gateway/meter/sql_integer.hh"

namespace qanat::meter {
namespace {

using audit::Digest;

// A row for each whole subtree of 2^8, 2^16, 2^24 and 2^32 leaves.
constexpr unsigned kBits = 8, kLevels = 4;

// 128 bits, in hexadecimal. Two for each Digest, sixty-four digests fetched at once.
std::string fresh_secret() {
  thread_local std::array<Digest, 64> random;
  thread_local std::size_t next = 2 * random.size();
  if (next == 2 * random.size()) {
    if (RAND_bytes(random.front().bytes.data(), sizeof random) != 1)
      throw StoreError("no random numbers for an audit leaf");
    next = 0;
  }
  const std::string both = to_string(random[next / 2]);
  return both.substr(32 * (next++ % 2), 32);
}

}  // namespace

struct CallAudit::Queries {
  Query insert_leaf, insert_root, last, texts, roots;
  explicit Queries(Store& db)
      : insert_leaf(db, "INSERT INTO call_leaves(gateway, number, call, leaf, secret) VALUES(?,?,?,?,?)"),
        insert_root(db,
                    "INSERT INTO call_roots(gateway, level, number, root) VALUES(?,?,?,?) "
                    "ON CONFLICT(gateway, level, number) DO UPDATE SET root = excluded.root"),
        last(db, "SELECT number FROM call_leaves WHERE gateway = ? ORDER BY number DESC LIMIT 1"),
        texts(
            db,
            "SELECT number, leaf FROM call_leaves WHERE gateway = ? AND number >= ? AND number < ? ORDER BY "
            "number"),
        roots(db,
              "SELECT number, root FROM call_roots WHERE gateway = ? AND level = ? AND number >= ? AND "
              "number < ? ORDER BY number") {}
};

void CallAudit::create(Store& store) {
  std::string schema = R"sql(
CREATE TABLE IF NOT EXISTS call_leaves(
  gateway TEXT NOT NULL, number BIGINT NOT NULL, call TEXT NOT NULL, leaf TEXT NOT NULL, secret TEXT NOT NULL,
  PRIMARY KEY(gateway, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS call_leaves_by_call ON call_leaves(call);
CREATE TABLE IF NOT EXISTS call_roots(
  gateway TEXT NOT NULL, level BIGINT NOT NULL, number BIGINT NOT NULL, root TEXT NOT NULL,
  PRIMARY KEY(gateway, level, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call_checkpoints(
  gateway TEXT NOT NULL, size BIGINT NOT NULL, text TEXT NOT NULL, signature TEXT NOT NULL,
  PRIMARY KEY(gateway, size)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call_cosignatures(
  gateway TEXT NOT NULL, size BIGINT NOT NULL, public_key TEXT NOT NULL, name TEXT NOT NULL,
  unix_s BIGINT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY(gateway, size, public_key)) WITHOUT ROWID;
)sql";
  constexpr std::string_view kOwn = " WITHOUT ROWID";  // SQLite's
  for (std::size_t at = 0; store.shared() && (at = schema.find(kOwn)) != std::string::npos;)
    schema.erase(at, kOwn.size());
  store.execute(schema.c_str());
}

CallAudit::CallAudit(Store& store, std::string gateway)
    : store_(store), gateway_(std::move(gateway)), queries_(std::make_unique<Queries>(store)) {}
CallAudit::~CallAudit() = default;

void CallAudit::begin() {
  if (!kept_) load();
  kept_ = false;
}

void CallAudit::append(Settlement settlement, std::int64_t amount_nano) {
  if (frontier_.size() == 0) {
    Query before(store_, "SELECT COUNT(*) FROM calls WHERE (gateway = ?1 OR gateway = '') AND id <> ?2");
    before.bind(gateway_).bind(settlement.call.id);
    put("", first_leaf(gateway_, before.step() ? u64(before.integer(0)) : 0), "");
  }
  Call& c = settlement.call;
  for (std::string* text : {&c.model, &c.pool, &settlement.decision}) *text = store_.stored(*text);
  const std::string secret = fresh_secret();
  put(c.id, leaf_of(settlement, amount_nano, secret), secret);
}

void CallAudit::put(const std::string& call, const std::string& text, const std::string& secret) {
  Query& q = queries_->insert_leaf;
  q.bind(gateway_).bind(i64(frontier_.size())).bind(call).bind(text).bind(secret).run();
  frontier_.push(audit::leaf_hash(text), 0, [this](unsigned height, const Digest& root) {
    if (height == 0 || height % kBits != 0 || height > kBits * kLevels) return;
    // The subtree's leaves are the last ones, this one included.
    const std::uint64_t number = frontier_.size() >> height;
    Query& r = queries_->insert_root;
    r.bind(gateway_).bind(std::int64_t{height / kBits}).bind(i64(number - 1)).bind(to_string(root)).run();
  });
}

// The roots that make up the right edge: as few rows as there are.
void CallAudit::load() {
  std::uint64_t size = 0;
  queries_->last.bind(gateway_);
  while (queries_->last.step()) size = u64(queries_->last.integer(0)) + 1;
  frontier_ = {};
  for (unsigned level = kLevels + 1; level-- > 0;) {
    const std::uint64_t begin = level == kLevels ? 0 : size >> (kBits * (level + 1)) << kBits;
    for (const Digest& root : roots(level, begin, size >> (kBits * level)))
      frontier_.push(root, kBits * level);
  }
  kept_ = true;
}

// What is missing counts as an empty leaf, or a root of nothing: then the tree is no longer what its checkpoints say.
std::vector<Digest> CallAudit::roots(unsigned level, std::uint64_t begin, std::uint64_t end) {
  std::vector<Digest> roots(end - begin);
  if (begin == end) return roots;
  Query& q = level == 0 ? queries_->texts : queries_->roots;
  q.bind(gateway_);
  if (level != 0) q.bind(std::int64_t{level});
  q.bind(i64(begin)).bind(i64(end));
  while (q.step()) {
    Digest& root = roots[u64(q.integer(0)) - begin];
    if (level == 0)
      root = audit::leaf_hash(q.text(1));
    else if (const auto digest = audit::parse_digest(q.text(1)))
      root = *digest;
  }
  return roots;
}

Digest CallAudit::range_root(std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t leaves = end - begin;
  if (!std::has_single_bit(leaves) || begin % leaves != 0) {
    const std::uint64_t middle = begin + audit::split_of(leaves);
    return audit::node_hash(range_root(begin, middle), range_root(middle, end));
  }
  const unsigned level = std::min(static_cast<unsigned>(std::countr_zero(leaves)) / kBits, kLevels);
  audit::Frontier whole;
  for (const Digest& root : roots(level, begin >> (kBits * level), end >> (kBits * level))) whole.push(root);
  return whole.root();
}

std::uint64_t CallAudit::size() {
  if (!kept_) load();
  return frontier_.size();
}

Digest CallAudit::root_at(std::uint64_t size) { return range_root(0, size); }

std::vector<Digest> CallAudit::inclusion(std::uint64_t leaf, std::uint64_t size) {
  return audit::inclusion_path([this](std::uint64_t a, std::uint64_t b) { return range_root(a, b); }, leaf,
                               size);
}

std::vector<Digest> CallAudit::consistency(std::uint64_t earlier, std::uint64_t size) {
  return audit::consistency_path([this](std::uint64_t a, std::uint64_t b) { return range_root(a, b); },
                                 earlier, size);
}

std::optional<CallAudit::Leaf> CallAudit::leaf(const std::string& call) {
  Query q(store_, "SELECT number, leaf, secret FROM call_leaves WHERE call = ? AND gateway = ?");
  q.bind(call).bind(gateway_);
  if (call.empty() || !q.step()) return std::nullopt;
  return Leaf{u64(q.integer(0)), call, q.text(1), q.text(2)};
}

std::vector<CallAudit::Leaf> CallAudit::leaves(std::uint64_t from, std::size_t limit) {
  std::vector<Leaf> leaves;
  Query q(store_,
          "SELECT number, call, leaf, secret FROM call_leaves WHERE gateway = ? AND number >= ? ORDER BY "
          "number LIMIT ?");
  q.bind(gateway_).bind(i64(from)).bind(i64(limit));
  while (q.step()) leaves.push_back({u64(q.integer(0)), q.text(1), q.text(2), q.text(3)});
  return leaves;
}

}  // namespace qanat::meter
