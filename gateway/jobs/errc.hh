// Errc: why artefacts, transfers, jobs and contracts are refused; the words that APIs say. None is cured by trying again
// unless it says so.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <cstdint>
#include <string_view>

namespace qanat::jobs {

enum class Errc : std::uint8_t {
  BadManifest = 1,  // not a manifest, or its chunks do not add up
  BadDigest,        // bytes that are not what their name says
  QuotaExceeded,    // the store is full; cured by deleting
  ChunksMissing,    // cured by sending them
  NoSuchArtefact,
  BadTicket,         // not signed by a gateway that this site trusts, expired, or for something else
  BadMultipart,      // a form that is not one
  BadDataset,        // not JSON lines of chat messages
  DeadlineTooEarly,  // the answer says the earliest that can be kept
  NoRoute,           // no such site, or nothing leads there
  BadContract,       // malformed or not signed
  // A contract's clauses:
  ContractOwner,    // by somebody who is not a user of it
  ContractSite,     // at a site it does not name
  ContractPurpose,  // for something it does not allow
  ContractExpired,  // after its end
  ContractCount,    // more often than it says
  ContractRevoked,  // its owner has taken it back
  ContractMissing,  // another's artefact without any contract
  SwitchRefused,    // some gateway or pool cannot take the version: nothing was switched
  BudgetExceeded,   // more than a budget has left; the answer says which, and what is left
};

const boost::system::error_category& category();
inline boost::system::error_code make_error_code(Errc e) { return {static_cast<int>(e), category()}; }
// "quota_exceeded": as APIs and metrics say it.
std::string_view code(Errc e);
// The HTTP status that goes with it.
int status(Errc e);
// "site", "users", …: the clause of a contract that refused; empty for the others.
std::string_view clause(Errc e);

// Ours as it is; the network's and the system's as NoRoute.
Errc errc_of(const boost::system::error_code& code);

template <class T>
using Result = boost::system::result<T>;

}  // namespace qanat::jobs

template <>
struct boost::system::is_error_code_enum<qanat::jobs::Errc> : std::true_type {};
