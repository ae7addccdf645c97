// CallAudit's checkpoints: made, kept, cosigned, and held against the rows.
#include "gateway/meter/call_audit.hh"
#include "gateway/meter/sql_integer.hh"

namespace qanat::meter {

std::optional<CallAudit::Signed> CallAudit::checkpoint(std::int64_t now_unix_ms, const Sign& sign) {
  const std::uint64_t leaves = size();
  if (leaves == 0) return std::nullopt;
  if (auto last = latest(); last && last->size >= leaves) return last;
  Signed made{leaves, serialize({gateway_, leaves, frontier_.root(), now_unix_ms}), {}};
  made.signature = sign(made.text);
  Batch transaction(store_);
  Query q(store_, "INSERT INTO call_checkpoints(gateway, size, text, signature) VALUES(?,?,?,?)");
  q.bind(gateway_).bind(i64(leaves)).bind(made.text).bind(made.signature).run();
  transaction.commit();
  return made;
}

std::optional<CallAudit::Signed> CallAudit::latest() {
  Query q(store_,
          "SELECT size, text, signature FROM call_checkpoints WHERE gateway = ? ORDER BY size DESC LIMIT 1");
  q.bind(gateway_);
  if (!q.step()) return std::nullopt;
  return Signed{static_cast<std::uint64_t>(q.integer(0)), q.text(1), q.text(2)};
}

std::optional<CallAudit::Signed> CallAudit::checkpoint_of(std::uint64_t size) {
  auto found = checkpoints(size == 0 ? 0 : size - 1, 1);
  if (found.empty() || found.front().size != size) return std::nullopt;
  return std::move(found.front());
}

std::vector<CallAudit::Signed> CallAudit::checkpoints(std::uint64_t after_size, std::size_t limit) {
  std::vector<Signed> list;
  Query q(store_,
          "SELECT size, text, signature FROM call_checkpoints WHERE gateway = ? AND size > ? ORDER BY size "
          "LIMIT ?");
  q.bind(gateway_).bind(i64(after_size)).bind(i64(limit));
  while (q.step()) list.push_back({static_cast<std::uint64_t>(q.integer(0)), q.text(1), q.text(2)});
  return list;
}

void CallAudit::add(std::uint64_t size, const Cosignature& c) {
  Batch transaction(store_);
  Query q(store_,
          "INSERT INTO call_cosignatures(gateway, size, public_key, name, unix_s, signature) "
          "VALUES(?,?,?,?,?,?) ON CONFLICT(gateway, size, public_key) DO NOTHING");
  q.bind(gateway_).bind(i64(size)).bind(c.public_key).bind(c.name).bind(c.unix_s).bind(c.signature).run();
  transaction.commit();
}

std::vector<Cosignature> CallAudit::cosignatures(std::uint64_t size) {
  std::vector<Cosignature> list;
  Query q(store_,
          "SELECT name, public_key, signature, unix_s FROM call_cosignatures WHERE gateway = ? AND size = ? "
          "ORDER BY unix_s, public_key");
  q.bind(gateway_).bind(i64(size));
  while (q.step()) list.push_back({q.text(0), q.text(1), q.text(2), q.integer(3)});
  return list;
}

std::string CallAudit::problem() {
  const auto last = latest();
  if (!last) return {};
  const auto said = parse_checkpoint(last->text);
  if (!said || said->size != last->size) return "the latest checkpoint cannot be read";
  if (said->size > size())
    return "leaves are missing: a checkpoint says " + std::to_string(said->size) + ", there are " +
           std::to_string(size());
  if (root_at(said->size) != said->root)
    return "the leaves up to " + std::to_string(said->size) + " are not those of the checkpoint";
  return {};
}

}  // namespace qanat::meter
