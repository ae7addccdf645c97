#include "dataplane/crypto/handshake.hh"

#include <algorithm>
#include <string_view>

#include "dataplane/crypto/blake2s.hh"
#include "dataplane/packet/byte_order.hh"

namespace qanat::crypto {

using packet::DatagramType;
using packet::DropReason;
using packet::load_be32;
using packet::load_be64;
using packet::store_be32;
using packet::store_be64;

namespace {

constexpr std::string_view kIdentifier = "qanat v1 overlay";
constexpr std::size_t kStampBytes = 12;

// Offsets in the datagrams (layouts in the header).
constexpr std::size_t kSuite = 1;
constexpr std::size_t kSender = 4;
constexpr std::size_t kInitEphemeral = 8;
constexpr std::size_t kInitStatic = 40;
constexpr std::size_t kInitPayload = 88;
constexpr std::size_t kResponseReceiver = 8;
constexpr std::size_t kResponseEphemeral = 12;
constexpr std::size_t kResponsePayload = 44;

// Identifier ‖ proposed suite: an altered suite byte makes another transcript.
std::array<std::uint8_t, 17> prologue(Suite proposed) noexcept {
  std::array<std::uint8_t, 17> out{};
  std::copy(kIdentifier.begin(), kIdentifier.end(), out.begin());
  out.back() = static_cast<std::uint8_t>(proposed);
  return out;
}

bool well_formed(Bytes datagram, DatagramType type, std::size_t size) noexcept {
  return datagram.size() == size && datagram[0] == static_cast<std::uint8_t>(type) &&
         datagram[kSuite] <= static_cast<std::uint8_t>(Suite::ChaCha20Poly1305);
}

SecretKey derive(const SecretKey& from, std::string_view label, Suite suite) noexcept {
  std::array<std::uint8_t, 16> input{};
  std::copy(label.begin(), label.end(), input.begin());
  input[label.size()] = static_cast<std::uint8_t>(suite);
  return hkdf<1>(from.view(), Bytes(input).first(label.size() + 1))[0];
}

}  // namespace

SessionSecrets derive_session(const NoiseSplit& split, Suite suite, bool initiator, std::uint32_t local_index,
                              std::uint32_t remote_index) noexcept {
  const SecretKey& sends = initiator ? split.first : split.second;
  const SecretKey& receives = initiator ? split.second : split.first;
  return {.suite = suite,
          .initiator = initiator,
          .local_index = local_index,
          .remote_index = remote_index,
          .e2e_send = derive(sends, "qanat e2e", suite),
          .e2e_receive = derive(receives, "qanat e2e", suite),
          .link_send = derive(sends, "qanat link", suite),
          .link_receive = derive(receives, "qanat link", suite)};
}

HandshakeInitiator::HandshakeInitiator(const KeyPair& self, const PublicKey& responder,
                                       const KeyPair& ephemeral, const HandshakeStamp& stamp, Suite proposed,
                                       std::uint32_t local_index) noexcept
    : noise_(prologue(proposed), self, responder), responder_(responder), local_index_(local_index) {
  const MutableBytes out = datagram_;
  out[0] = static_cast<std::uint8_t>(DatagramType::HandshakeInit);
  out[kSuite] = static_cast<std::uint8_t>(proposed);
  store_be32(&out[kSender], local_index);
  std::array<std::uint8_t, kStampBytes> payload;
  store_be32(payload.data(), stamp.boot);
  store_be64(payload.data() + 4, stamp.counter);
  // With a degenerate responder key (the configuration's fault) the message stays partly zero and nobody answers it.
  (void)noise_.write_first(ephemeral, payload, out.subspan(kInitEphemeral, kKeyBytes),
                           out.subspan(kInitStatic, kKeyBytes + kAeadTagBytes),
                           out.subspan(kInitPayload, kStampBytes + kAeadTagBytes));
}

packet::OrDrop<SessionSecrets> HandshakeInitiator::on_response(Bytes datagram,
                                                               const SecretKey& psk) const noexcept {
  if (!well_formed(datagram, DatagramType::HandshakeResponse, packet::kHandshakeResponseBytes))
    return DropReason::HandshakeMalformed;
  if (load_be32(&datagram[kResponseReceiver]) != local_index_) return DropReason::HandshakeUnexpected;
  const auto split = noise_.read_second(datagram.subspan(kResponseEphemeral, kKeyBytes),
                                        datagram.subspan(kResponsePayload, kAeadTagBytes), psk, {});
  if (!split) return DropReason::HandshakeDecrypt;
  return derive_session(*split, static_cast<Suite>(datagram[kSuite]), true, local_index_,
                        load_be32(&datagram[kSender]));
}

packet::OrDrop<HandshakeResponder> HandshakeResponder::on_initiation(const KeyPair& self,
                                                                     Bytes datagram) noexcept {
  if (!well_formed(datagram, DatagramType::HandshakeInit, packet::kHandshakeInitBytes))
    return DropReason::HandshakeMalformed;
  const auto proposed = static_cast<Suite>(datagram[kSuite]);
  HandshakeResponder r(NoiseIkResponder(prologue(proposed), self));
  std::array<std::uint8_t, kStampBytes> payload;
  const auto initiator = r.noise_.read_first(
      datagram.subspan(kInitEphemeral, kKeyBytes), datagram.subspan(kInitStatic, kKeyBytes + kAeadTagBytes),
      datagram.subspan(kInitPayload, kStampBytes + kAeadTagBytes), payload);
  if (!initiator) return DropReason::HandshakeDecrypt;
  r.initiator_ = *initiator;
  r.stamp_ = {load_be32(payload.data()), load_be64(payload.data() + 4)};
  r.remote_index_ = load_be32(&datagram[kSender]);
  r.proposed_ = proposed;
  return r;
}

packet::OrDrop<SessionSecrets> HandshakeResponder::respond(const KeyPair& ephemeral, const SecretKey& psk,
                                                           Suite suite, std::uint32_t local_index,
                                                           ResponseDatagram& datagram) noexcept {
  datagram.fill(0);
  const MutableBytes out = datagram;
  out[0] = static_cast<std::uint8_t>(DatagramType::HandshakeResponse);
  out[kSuite] = static_cast<std::uint8_t>(suite);
  store_be32(&out[kSender], local_index);
  store_be32(&out[kResponseReceiver], remote_index_);
  const auto split = noise_.write_second(ephemeral, psk, {}, out.subspan(kResponseEphemeral, kKeyBytes),
                                         out.subspan(kResponsePayload, kAeadTagBytes));
  if (!split) return DropReason::HandshakeDecrypt;
  return derive_session(*split, suite, false, local_index, remote_index_);
}

std::uint32_t sender_index(Bytes init_or_response) noexcept { return load_be32(&init_or_response[kSender]); }

std::uint32_t receiver_index(Bytes response_or_cookie) noexcept {
  const bool cookie = response_or_cookie[0] == static_cast<std::uint8_t>(DatagramType::CookieReply);
  return load_be32(&response_or_cookie[cookie ? kSender : kResponseReceiver]);
}

}  // namespace qanat::crypto
