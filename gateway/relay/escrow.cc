#include "gateway/relay/escrow.hh"

#include "base/clock.hh"
#include "gateway/admit/key_store.hh"

namespace qanat::relay {
namespace asio = boost::asio;

asio::awaitable<base::Result<admit::Accounts::Hold>> Escrow::admit(asio::io_context& io, admit::KeyInfo key,
                                                                   meter::Nano at_most) {
  co_await widen(io, key, at_most);
  auto hold = accounts_.admit(key, at_most);
  if (!hold && hold.error() == admit::Errc::BudgetExceeded) accounts_.refuse(key, at_most);
  co_return hold;
}

asio::awaitable<base::Result<void>> Escrow::hold(asio::io_context& io, admit::KeyInfo key,
                                                 meter::Nano at_most) {
  co_await widen(io, key, at_most);
  auto held = accounts_.hold(key, at_most);
  if (!held) accounts_.refuse(key, at_most);
  co_return held;
}

asio::awaitable<void> Escrow::widen(asio::io_context& io, admit::KeyInfo key, meter::Nano at_most) {
  while (true) {
    const auto shortage = accounts_.shortage(key, at_most);
    if (!shortage) break;
    Asking& asking = asking_[shortage->account];  // entries stay
    if (asking.under_way) {
      const auto answered = asking.answered;
      boost::system::error_code ignored;
      co_await answered->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    if (base::monotonic_now() < asking.refused_until && shortage->missing >= asking.refused) break;

    asking.under_way = true;
    asking.answered = std::make_shared<asio::steady_timer>(io, asio::steady_timer::time_point::max());
    struct Over {
      Asking& asking;
      ~Over() {
        asking.under_way = false;
        asking.answered->cancel();
      }
    } over{asking};
    const auto ask = [account = shortage->account, gateway = gateway_, least = shortage->missing,
                      most = shortage->limit / kSlices](meter::Ledger& l) {
      return admit::KeyStore(l.store()).grant(account, gateway, least, most);
    };
    const meter::Nano before = accounts_.balance(shortage->account).granted;
    const meter::Nano granted = co_await ledger_.query(ask);
    accounts_.set_granted(shortage->account, granted);
    if (granted <= before) {
      asking.refused_until = base::monotonic_now() + kPause;
      asking.refused = shortage->missing;
      break;
    }
  }
}

}  // namespace qanat::relay
