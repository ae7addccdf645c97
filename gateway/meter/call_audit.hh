// CallAudit: a gateway's settled calls as a Merkle tree (RFC 9162) in the books: a leaf for each, written in the transaction
// that settles it, and checkpoints of the tree, signed and cosigned.
// The leaves are rows; so are the roots of every 256 of them, of every 256 of those, and so on. In memory is the right edge
// only, so millions of calls cost no more than one; a proof reads a thousand rows at most.
// Not thread-safe: its ledger's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/audit/frontier.hh"
#include "gateway/meter/call.hh"
#include "gateway/meter/checkpoint.hh"
#include "gateway/meter/store.hh"

namespace qanat::meter {

class CallAudit {
 public:
  // Its tables, when there are none; in the caller's transaction.
  static void create(Store& store);
  CallAudit(Store& store, std::string gateway);
  ~CallAudit();

  // Around append(), in the ledger's own transaction: what was not committed is not believed in memory either.
  void begin();
  void append(Settlement settlement, std::int64_t amount_nano);
  void committed() { kept_ = true; }

  struct Leaf {
    std::uint64_t number = 0;
    std::string call, text, secret;  // no call: the tree's first leaf
  };
  std::optional<Leaf> leaf(const std::string& call);
  std::vector<Leaf> leaves(std::uint64_t from, std::size_t limit);

  std::uint64_t size();
  // Of the tree when it had `size` leaves, from what the rows say now; 0 < size ≤ size().
  audit::Digest root_at(std::uint64_t size);
  // See audit/proofs.hh; of the tree when it had `size` leaves.
  std::vector<audit::Digest> inclusion(std::uint64_t leaf, std::uint64_t size);
  std::vector<audit::Digest> consistency(std::uint64_t earlier, std::uint64_t size);

  struct Signed {
    std::uint64_t size = 0;
    std::string text, signature;
  };
  using Sign = std::function<std::string(std::string_view text)>;
  // Of the tree as it is now; the latest one if that says all of it, nothing while there are no leaves. Durable.
  std::optional<Signed> checkpoint(std::int64_t now_unix_ms, const Sign& sign);
  std::optional<Signed> latest();
  std::vector<Signed> checkpoints(std::uint64_t after_size, std::size_t limit);  // the smallest first
  std::optional<Signed> checkpoint_of(std::uint64_t size);
  // One for each checkpoint and key; of a checkpoint that is there. Durable.
  void add(std::uint64_t size, const Cosignature& cosignature);
  std::vector<Cosignature> cosignatures(std::uint64_t size);
  // Why the rows cannot be what the latest checkpoint was made of; empty: nothing shows at the right edge, which is all
  // that is looked at (audit_check.hh looks at everything).
  std::string problem();

 private:
  struct Queries;
  void load();
  void put(const std::string& call, const std::string& text, const std::string& secret);
  std::vector<audit::Digest> roots(unsigned level, std::uint64_t begin, std::uint64_t end);
  audit::Digest range_root(std::uint64_t begin, std::uint64_t end);

  Store& store_;
  std::string gateway_;
  std::unique_ptr<Queries> queries_;
  audit::Frontier frontier_;
  bool kept_ = false;  // the frontier is what the rows say
};

}  // namespace qanat::meter
