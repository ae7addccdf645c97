// Escrow: slices of budgets that several gateways share. A call that does not fit the slice asks the ledger for more;
// calls that come meanwhile wait for the same answer. With a ledger of this gateway's own there is nothing to ask.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>

#include "base/result.hh"
#include "base/time.hh"
#include "gateway/admit/accounts.hh"
#include "gateway/meter/ledger_thread.hh"

namespace qanat::relay {

class Escrow {
 public:
  // A slice is this part of the limit, or what one call needs if that is more.
  static constexpr int kSlices = 64;
  // After a refusal nobody asks again for so long.
  static constexpr base::Duration kPause = std::chrono::milliseconds{100};

  Escrow(admit::Accounts& accounts, meter::LedgerThread& ledger, std::string gateway)
      : accounts_(accounts), ledger_(ledger), gateway_(std::move(gateway)) {}

  // Accounts::admit, with as many slices as it takes. Throws StoreError if the ledger cannot be asked.
  boost::asio::awaitable<base::Result<admit::Accounts::Hold>> admit(boost::asio::io_context& io,
                                                                    admit::KeyInfo key, meter::Nano at_most);
  // Accounts::hold likewise.
  boost::asio::awaitable<base::Result<void>> hold(boost::asio::io_context& io, admit::KeyInfo key,
                                                  meter::Nano at_most);

 private:
  // Until the slices can carry it, or no more is to be had.
  boost::asio::awaitable<void> widen(boost::asio::io_context& io, admit::KeyInfo key, meter::Nano at_most);

  struct Asking {  // of one account
    bool under_way = false;
    base::Time refused_until{};
    meter::Nano refused = 0;  // so much, or more, was not free
    std::shared_ptr<boost::asio::steady_timer> answered;
  };
  admit::Accounts& accounts_;
  meter::LedgerThread& ledger_;
  std::string gateway_;
  std::map<std::string, Asking> asking_;
};

}  // namespace qanat::relay
