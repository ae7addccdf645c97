// Relayed: two boxes that only a relay joins, in namespaces, and their overlay with tenant 100 and a list each way.
//
//   1 (a) ──v1, plane 1── 3 (r) ──v2, plane 2── 2 (b)
#pragma once

#include <string>

#include "tests/support/namespaces.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

struct Relayed {
  std::string a, b, r;  // namespaces
  Overlay overlay;
};
Relayed relayed(Namespaces& net);

}  // namespace qanat::test
