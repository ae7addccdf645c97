// The auditor: a gateway's ledger, read as the file that it is, against what clients received and what pools signed.
// It asks the gateway nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tools/lab/chaos/callers.hh"

namespace qanat::chaos {

struct Audit {
  std::uint64_t calls = 0, tokens_received = 0, tokens_billed = 0, pool_records = 0;
};

// Of what is paid for beside calls: transfers, fine-tunes, card time.
struct ServiceAudit {
  std::uint64_t transfers = 0, transfers_done = 0, tunes = 0, tunes_done = 0, lines = 0;
  std::string card_nano, pools_card_nano;  // as the gateway owes it, as the pools' own books have it
  std::string services_nano;               // all lines together
};
// Orders that were promised and are not known any more; done ones without their one bill; lines whose two sides differ;
// and card time: what each pool's own books (`leases`: pool → file) say, against what the ledger owes it, to the nano.
ServiceAudit audit_services(const std::string& ledger_file, const std::vector<std::string>& transfers,
                            const std::vector<std::string>& tunes,
                            const std::vector<std::pair<std::string, std::string>>& leases,
                            const std::function<void(const char* invariant, std::string what)>& report);

using AuditReport = std::function<void(const char* invariant, std::string what)>;

// Per call: charged once at most; a whole answer's tokens exactly; of one that broke off, all but the frame in doubt
// (meter/journal: decided for the tenant). A charge of a call that no client saw is one too many. Pools: none reported
// less than was billed. Books: all entries sum to zero, in tokens' worth and in money. Throws std::runtime_error when
// the file cannot be read.
Audit audit(const std::string& ledger_file, const std::vector<CallSeen>& seen, const AuditReport& report);

}  // namespace qanat::chaos
