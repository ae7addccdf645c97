// Handshaker: this box's side of every handshake (wire.md §2): who may begin, who is answered, and at what rate.
// Bytes and time in, datagrams and keys out; where they travel (directly or inside a list) is the forwarder's business.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
};

class Handshaker {
 public:
  // Above this many initiations in a second we are under load, and ask for cookies for a second.
  static constexpr unsigned kLoadPerSecond = 100;

  using FindPeer = std::function<PeerState*(const crypto::PublicKey&)>;

  Handshaker(Identity identity, RandomSource random);

  const crypto::KeyPair& keys() const { return identity_.keys; }

  // A new initiation to `peer`, to be received under `local_index`. Notes it in the peer and its session.
  crypto::InitDatagram start(PeerState& peer, std::uint32_t local_index, base::Time now);

  struct Answer {
    PeerState* peer = nullptr;
    crypto::ResponseDatagram datagram{};
    crypto::SessionSecrets secrets;
  };
  // An initiation from `from`. `local_index` names an unused index. Either an answer, a cookie to send back, or why not.
  using Outcome = std::variant<Answer, crypto::CookieDatagram, packet::DropReason>;
  Outcome on_initiation(packet::Bytes datagram, const packet::UdpAddress& from, std::uint32_t local_index,
                        const crypto::SecretKey& psk, const FindPeer& find, base::Time now);

  // A response to the initiation that `peer` has open.
  packet::OrDrop<crypto::SessionSecrets> on_response(PeerState& peer, packet::Bytes datagram,
                                                     const packet::UdpAddress& from,
                                                     const crypto::SecretKey& psk, base::Time now);

  std::uint32_t random_u32();

 private:
  void keep_cookie_secret(base::Time now);
  crypto::SecretKey random_key();
  bool under_load(base::Time now);

  Identity identity_;
  RandomSource random_;
  crypto::CookieChecker checker_;
  crypto::RateLimiter limiter_;
  std::uint64_t last_stamp_ = 0;
  base::Time load_window_{};
  unsigned load_count_ = 0;
  base::Time loaded_until_{};
};

}  // namespace qanat::forwarder
