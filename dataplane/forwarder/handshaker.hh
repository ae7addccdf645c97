// Handshaker: this box's side of every handshake (wire.md §2): who may begin, who is answered, and at what rate.
// Bytes and time in, datagrams and keys out; where they travel (directly or inside a list) is the forwarder's business.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "base/time.hh"
#include "dataplane/crypto/cookie.hh"
#include "dataplane/crypto/handshake.hh"
#include "dataplane/crypto/keys.hh"
#include "dataplane/crypto/rate_limiter.hh"
#include "dataplane/forwarder/peer_state.hh"
#include "dataplane/packet/drop_reason.hh"

namespace qanat::forwarder {

// Fills its argument with random bytes: the kernel's in qanatd, a seeded stream in simulations.
using RandomSource = std::function<void(packet::MutableBytes)>;

struct Identity {
  crypto::KeyPair keys;
  std::uint32_t boot = 1;  // persisted, incremented at each start
  // The suite that we propose, and choose where the initiator leaves the choice; nothing: by what this CPU does fast.
  std::optional<crypto::Suite> suite;
};

// Where an initiation came from: what it may cost us under load depends on it.
struct InitiationSource {
  packet::UdpAddress address;
  bool relayed = false;  // inside a list, link-sealed by the neighbour at `address`: it needs no cookie
  bool known = false;    // an address that a peer is configured or proven to live at
};

// Under load, strangers pay before we do: one keyed hash and one cookie answer anybody; an X25519 is spent only on a
// source that showed its cookie, within its own rate, and within what all unknown sources together may cost. While input
// waits for us, strangers' cookies are rationed as well: each costs a datagram of ours, and who lives at a known address
// would wait behind them.
class Handshaker {
 public:
  // Above this many initiations in a second we are under load, and ask for cookies for a second.
  static constexpr unsigned kLoadPerSecond = 100;
  // Handshakes a second for all sources together that no peer is known to live at (NATs, roaming): about 15 % of a core.
  static constexpr unsigned kUnknownPerSecond = 500;

  // Cookies a second for unknown sources together once input has been waiting for this long.
  static constexpr unsigned kStrangerCookies = 10'000;
  static constexpr base::Duration kBehind = std::chrono::milliseconds{10};

  using FindPeer = std::function<PeerState*(const crypto::PublicKey&)>;
  using AllocateIndex = std::function<std::uint32_t()>;

  Handshaker(Identity identity, RandomSource random);

  const crypto::KeyPair& keys() const { return identity_.keys; }
  // A new static key. Handshakes to the old one are answered until the next rotation, and ours take turns, so that
  // peers may hear of it whenever they do.
  void rotate(const crypto::KeyPair& next);

  // All that had arrived by now was handed over. Until this is said for the first time, nothing is rationed.
  void on_drained(base::Time now) noexcept { drained_ = now; }

  // A new initiation to `peer`, to be received under `local_index`. Notes it in the peer and its session.
  crypto::InitDatagram start(PeerState& peer, std::uint32_t local_index, base::Time now);

  struct Answer {
    PeerState* peer = nullptr;
    std::uint32_t local_index = 0;
    std::optional<packet::DropReason> refused;  // then only the index is to be given back
    crypto::ResponseDatagram datagram{};
    crypto::SessionSecrets secrets;
  };
  // An initiation from `from`. `allocate` names an unused index (0: none left); it is called only once an answer is due.
  // Either an answer, a cookie to send back, or why not.
  using Outcome = std::variant<Answer, crypto::CookieDatagram, packet::DropReason>;
  Outcome on_initiation(packet::Bytes datagram, const InitiationSource& from, const AllocateIndex& allocate,
                        const crypto::SecretKey& psk, const FindPeer& find, base::Time now);

  // A response to the initiation that `peer` has open, under any of `psks` (the network's, and the one before it).
  packet::OrDrop<crypto::SessionSecrets> on_response(PeerState& peer, packet::Bytes datagram,
                                                     const packet::UdpAddress& from,
                                                     std::span<const crypto::SecretKey> psks, base::Time now);
  // The answer under load to our last initiation. True: repeat it now, by the same way; at most once a second.
  packet::OrDrop<bool> on_cookie(PeerState& peer, packet::Bytes datagram, base::Time now);

  std::uint32_t random_u32();

 private:
  // A static key of ours and the macs made for it.
  struct Mine {
    explicit Mine(const crypto::KeyPair& pair) : keys(pair), checker(pair.public_key) {}
    crypto::KeyPair keys;
    crypto::CookieChecker checker;
  };
  // The key that a datagram's mac1 was made for; null: for none of ours.
  Mine* addressed(packet::Bytes datagram, const packet::UdpAddress& from, crypto::MacVerdict& verdict,
                  base::Time now);
  crypto::SecretKey random_key();
  bool under_load(base::Time now);
  bool cookie_due(const InitiationSource& from, base::Time now);
  bool affordable(const InitiationSource& from, base::Time now);
  crypto::Suite preferred() const;
  std::array<std::uint8_t, 24> next_nonce();

  Identity identity_;
  RandomSource random_;
  std::unique_ptr<Mine> current_;
  std::unique_ptr<Mine> previous_;
  crypto::RateLimiter limiter_;
  base::Time unknown_window_{};
  unsigned unknown_count_ = 0;
  std::array<std::uint8_t, 24>
      nonce_{};  // of cookies: 16 random bytes ‖ a counter, so that a flood draws no randomness
  std::uint64_t nonces_ = 0;
  std::uint64_t last_stamp_ = 0;
  base::Time load_window_{};
  unsigned load_count_ = 0;
  base::Time loaded_until_{};
  std::optional<base::Time> drained_;
  base::Time next_cookie_{};  // for a stranger, while we are behind
};

}  // namespace qanat::forwarder
