// Any bytes as a controller or a node may receive them: frames, envelopes, deltas applied on top of each other.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/framing.hh"
#include "identifiers/proto/southbound.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::proto;
  static const Ed25519Public kKey{1};
  FrameDecoder decoder(kMaxBodyBeforeAuth);
  v1::NodeConfig held;
  decoder.feed({reinterpret_cast<const char*>(data), size});
  for (auto body = decoder.next(); body && body->has_value(); body = decoder.next()) {
    const auto envelope = parse_envelope(**body);
    if (!envelope || !envelope->has_delta()) continue;
    if (apply_verified(held, envelope->delta(), 4097, kKey))
      __builtin_trap();  // nobody has that key's private half
    if (auto next = apply(held, envelope->delta())) {
      const auto again = *next;
      canonicalise(*next);
      if (digest_of(again) != digest_of(*next)) __builtin_trap();  // what apply returns is canonical
      held = *next;
    }
  }
  return 0;
}
