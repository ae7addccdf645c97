// Contract: on which terms an artefact may be used by others: who, where, for what, how often, until when. Signed by the
// owner's gateway on the owner's word, carried with the artefact, and judged alike by gateways and pools.
//
// Text, ASCII, LF, in this order, lists with commas, "" and 0 where nothing is said:
//   qanat-contract-1 | id ID | artefact DIGEST | owner TENANT | users A,B | sites S,T | purposes P,Q | uses N |
//   expires UNIX_MS | class CLASS | issued UNIX_MS
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/artefact/digest.hh"
#include "gateway/jobs/errc.hh"

namespace qanat::jobs {

// What policy makes of the artefact beyond the terms.
enum class DataClass : std::uint8_t {
  Open,          // no sites named: anywhere
  Internal,      // no sites named: nowhere but where its owner put it
  Confidential,  // as Internal, and no copy stays behind: a site deletes it after the use, and attests that
};
std::string_view to_string(DataClass data_class);

inline constexpr std::size_t kMaxNames = 64;  // of users, sites, purposes each

struct Contract {
  std::string id;  // "contract-…"
  Digest artefact;
  std::string owner;                  // a tenant; itself needs no contract
  std::vector<std::string> users;     // tenants
  std::vector<std::string> sites;     // pools by id or site
  std::vector<std::string> purposes;  // "transfer", "finetune", "infer"
  std::uint64_t uses = 0;             // at most so many; 0: no limit
  std::int64_t expires_unix_ms = 0;   // 0: never
  DataClass data_class = DataClass::Internal;
  std::int64_t issued_unix_ms = 0;
  bool operator==(const Contract&) const = default;
};

// The bytes under the signature.
std::string serialize(const Contract& contract);
// Total on any bytes.
Result<Contract> parse_contract(std::string_view text) noexcept;

// One use that somebody wants to make.
struct Use {
  std::string user, site, pool, purpose;  // the contract's `sites` may name the site or the pool
  std::int64_t unix_ms = 0;
  std::uint64_t uses_before = 0;  // of this contract
  bool revoked = false;           // the owner took it back
};
// The first clause that forbids it, in the order: revoked, expires, users, sites, purposes, uses.
Result<void> judge(const Contract& contract, const Use& use);

}  // namespace qanat::jobs
