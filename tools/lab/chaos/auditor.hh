// The auditor: a gateway's ledger, read as the file that it is, against what clients received and what pools signed.
// It asks the gateway nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/lab/chaos/callers.hh"

namespace qanat::chaos {

struct Audit {
  std::uint64_t calls = 0, tokens_received = 0, tokens_billed = 0, pool_records = 0;
};

using AuditReport = std::function<void(const char* invariant, std::string what)>;

// Per call: charged once at most; a whole answer's tokens exactly; of one that broke off, all but the frame in doubt
// (meter/journal: decided for the tenant). A charge of a call that no client saw is one too many. Pools: none reported
// less than was billed. Books: all entries sum to zero, in tokens' worth and in money. Throws std::runtime_error when
// the file cannot be read.
Audit audit(const std::string& ledger_file, const std::vector<CallSeen>& seen, const AuditReport& report);

}  // namespace qanat::chaos
