#include "tests/support/relayed.hh"

namespace qanat::test {

Relayed relayed(Namespaces& net) {
  using ids::NodeId, ids::Sid;
  Relayed out{net.add("a"), net.add("b"), net.add("r"), Overlay(2)};
  net.join(out.a, "10.1.0.1/16", out.r, "10.1.0.3/16", "v1");
  net.join(out.b, "10.2.0.2/16", out.r, "10.2.0.3/16", "v2");
  Overlay& overlay = out.overlay;
  overlay.add_node(1, false, {1});
  overlay.add_node(2, false, {2});
  overlay.add_node(3, true, {1, 2});
  overlay.add_tenant(100, {1, 2});
  overlay.add_lists({10, 1, {}, 0, 1, {Sid::end(NodeId{3}), Sid::end(NodeId{2})}});
  overlay.add_lists({20, 2, {}, 0, 2, {Sid::end(NodeId{3}), Sid::end(NodeId{1})}});
  return out;
}

}  // namespace qanat::test
