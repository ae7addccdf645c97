// JobBook: what a gateway keeps of files, transfers, fine-tunes, contracts and models, in the ledger's database: JSON
// documents by kind and id, and the uses of artefacts, each with its leaf of the audit tree. Durable on return.
// Runs on the ledger's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/meter/store.hh"

namespace qanat::jobs {

struct Document {
  std::string id, tenant;
  std::int64_t created_unix_ms = 0;
  std::string body;  // JSON
};

// One use of an artefact, allowed or refused.
struct UseRow {
  std::uint64_t number = 0;  // of its leaf
  std::string contract;      // empty: the owner's own use, or there was none
  std::string artefact, user, site, purpose;
  std::string use;  // what used it: a transfer, a fine-tune
  std::int64_t unix_ms = 0;
  bool allowed = false;
  std::string clause;  // that refused
};
// The leaf's bytes, as the tree holds them.
std::string leaf_of(const UseRow& row);

class JobBook {
 public:
  static void create(meter::Store& store);
  // Gateways that share a database see only their own.
  JobBook(meter::Store& store, std::string gateway) : store_(store), gateway_(std::move(gateway)) {}

  void put(const std::string& kind, const Document& document);
  std::optional<Document> get(const std::string& kind, const std::string& id);
  // Newest first; of one tenant, or of all.
  std::vector<Document> list(const std::string& kind, const std::string& tenant = {});
  bool erase(const std::string& kind, const std::string& id);

  // Allowed uses of a contract so far.
  std::uint64_t uses(const std::string& contract);
  std::uint64_t next_leaf();
  // The row's number must be the next one. Leaf and row in one transaction.
  void add_use(const UseRow& row);
  // In order of their numbers; of one contract, or artefact, or all.
  std::vector<UseRow> use_rows(const std::string& contract, const std::string& artefact);
  std::vector<std::string> leaves();

 private:
  meter::Store& store_;
  std::string gateway_;
};

}  // namespace qanat::jobs
