#include "tests/support/joined.hh"

namespace qanat::test {

Joined joined(Namespaces& net, std::uint8_t planes) {
  Joined out{net.add("a"), net.add("b"), Overlay(1)};
  std::vector<std::uint8_t> all;
  for (std::uint8_t p = 1; p <= planes; ++p) {
    const std::string subnet = "10." + std::to_string(p) + ".0.", device = "v" + std::to_string(p);
    net.join(out.a, subnet + "1/16", out.b, subnet + "2/16", device);
    all.push_back(p);
  }
  out.overlay.add_node(1, false, all);
  out.overlay.add_node(2, false, all);
  out.overlay.add_tenant(100, {1, 2});
  return out;
}

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
