// Joined: two boxes in namespaces and their overlay with tenant 100, directly or by a relay with a list each way.
//
//   directly:  1 (a) ──v1, plane 1── 2 (b), ──v2, plane 2── …
//   relayed:   1 (a) ──v1, plane 1── 3 (r) ──v2, plane 2── 2 (b)
#pragma once

#include <string>

#include "tests/support/namespaces.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

struct Joined {
  std::string a, b;  // namespaces
  Overlay overlay;
};
// On each plane 10.p.0.1 and 10.p.0.2.
Joined joined(Namespaces& net, std::uint8_t planes = 1);

struct Relayed {
  std::string a, b, r;  // namespaces
  Overlay overlay;
};
Relayed relayed(Namespaces& net);

}  // namespace qanat::test
