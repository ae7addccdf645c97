#include "tests/sim/network.hh"

#include <algorithm>

namespace qanat::test {

Network::Network(const Overlay& overlay, std::uint32_t unix_start)
    : overlay_(overlay), unix_start_(unix_start) {}

void Network::start(std::uint32_t id, const Overlay::Edit& edit) {
  Node& node = nodes_[id];
  auto options = overlay_.options(id);
  std::vector<std::uint8_t> former(64 * node.boots);
  options.random(former);  // another life draws other numbers
  options.identity.boot = ++node.boots;
  if (options_edit) options_edit(id, options);
  node.forwarder = std::make_unique<forwarder::Forwarder>(options);
  for (std::uint8_t i = 0; i < options.lines.size(); ++i) lines_[options.lines[i].address] = {id, i};
  node.forwarder->set_unix_time(unix_start_);
  node.forwarder->set_snapshot(overlay_.snapshot(id, node.boots, edit), now_);
  collect(id);
}

void Network::send(std::uint32_t id, std::uint32_t vni, const Octets& packet,
                   const packet::VirtioHeader& virtio) {
  Octets frame(packet::VirtioHeader::kBytes);
  virtio.serialize(frame);
  frame.insert(frame.end(), packet.begin(), packet.end());
  at(id).on_tun_packet(ids::Vni{vni}, frame, now_);
  collect(id);
}

void Network::set_delay(std::uint32_t a, std::uint32_t b, std::uint8_t plane, base::Duration delay) {
  links_[{a, b, plane}].delay = delay;
  links_[{b, a, plane}].delay = delay;
}

void Network::set_down(std::uint32_t from, std::uint32_t to, std::uint8_t plane, bool down) {
  links_[{from, to, plane}].down = down;
}

void Network::set_mtu(std::uint32_t from, std::uint32_t to, std::uint8_t plane, std::size_t bytes) {
  links_[{from, to, plane}].mtu = bytes;
}

void Network::set_reordering(std::uint32_t from, std::uint32_t to, std::uint8_t plane, double share,
                             base::Duration most) {
  links_[{from, to, plane}].reordered = share;
  links_[{from, to, plane}].reordered_by = most;
}

void Network::set_nat(std::uint32_t node, const packet::IpAddress& address, base::Duration idle) {
  nats_[node] = {address, idle, {}, 40000};
}

void Network::set_snapshot(std::uint32_t node, fib::SnapshotPtr snapshot) {
  at(node).set_snapshot(std::move(snapshot), now_);
  collect(node);
}

packet::UdpAddress Network::translate_out(std::uint32_t node, const packet::UdpAddress& from,
                                          const packet::UdpAddress& to) {
  const auto nat = nats_.find(node);
  if (nat == nats_.end()) return from;
  for (auto& [port, entry] : nat->second.ports)
    if (entry.inside == from && entry.remote == to && now_ - entry.used < nat->second.idle) {
      entry.used = now_;
      return {nat->second.address, port};
    }
  const std::uint16_t port = nat->second.next_port++;
  nat->second.ports[port] = {from, to, now_};
  return {nat->second.address, port};
}

std::optional<packet::UdpAddress> Network::translate_in(const packet::UdpAddress& from,
                                                        const packet::UdpAddress& to) {
  for (auto& [node, nat] : nats_) {
    if (to.address == nat.address) {
      const auto entry = nat.ports.find(to.port);
      if (entry == nat.ports.end() || entry->second.remote != from || now_ - entry->second.used >= nat.idle)
        return std::nullopt;
      return entry->second.inside;
    }
    if (const auto line = lines_.find(to); line != lines_.end() && line->second.first == node)
      return std::nullopt;
  }
  return to;
}

void Network::inject(const Crossing& datagram) { flights_.push({now_, order_++, datagram}); }

void Network::inject_train(Crossing datagrams, std::size_t segment_bytes) {
  const auto& [node, line] = lines_.at(datagrams.to);
  forwarder::Datagrams train;
  train.bytes = datagrams.bytes;
  train.segment_bytes = segment_bytes;
  train.remote = datagrams.from;
  train.line = line;
  at(node).on_datagrams({&train, 1}, now_);
  collect(node);
}

// Everything a node put out: datagrams take off, tenants' packets are received.
void Network::collect(std::uint32_t id) {
  Node& node = nodes_.at(id);
  auto& f = *node.forwarder;
  for (const forwarder::TunWrite& write : f.deliver()) {
    Received r{now_, write.vni.value, {}, write.packet.virtio};
    for (const auto piece : write.packet.pieces) r.bytes.insert(r.bytes.end(), piece.begin(), piece.end());
    node.received.push_back(std::move(r));
  }
  f.delivered();
  const auto& mine = overlay_.node(id).lines;
  for (const forwarder::Datagrams& train : f.transmit())
    for (std::size_t at = 0; at < train.bytes.size(); at += train.segment_bytes) {
      const auto bytes = train.bytes.subspan(at, std::min(train.segment_bytes, train.bytes.size() - at));
      Crossing crossing{
          now_, mine[train.line].address, train.remote, {bytes.begin(), bytes.end()}, train.traffic_class};
      crossing.from = translate_out(id, crossing.from, crossing.to);
      const auto inside = translate_in(crossing.from, crossing.to);
      const auto to = inside ? lines_.find(*inside) : lines_.end();
      if (to == lines_.end()) {
        if (stray) stray(crossing);
        continue;
      }
      crossing.to = *inside;
      const auto from_plane = mine[train.line].plane.value;
      if (overlay_.node(to->second.first).lines[to->second.second].plane.value != from_plane) continue;
      const Link& link = links_[{id, to->second.first, from_plane}];
      if (link.down) continue;
      if (link.mtu != 0 && crossing.bytes.size() > link.mtu) continue;
      if (tap && !tap(crossing)) continue;
      base::Time arrives = now_ + link.delay;
      if (link.reordered > 0 && std::uniform_real_distribution<>(0, 1)(random_) < link.reordered)
        arrives += base::Duration{
            std::uniform_int_distribution<base::Duration::rep>(0, link.reordered_by.count())(random_)};
      flights_.push({arrives, order_++, std::move(crossing)});
    }
  f.transmitted();
}

// The next arrival, and with `gather` all that the same node is handed in the same instant.
std::vector<Crossing> Network::take_arrivals(std::uint32_t& node) {
  std::vector<Crossing> out;
  const base::Time at = flights_.top().arrives;
  do {
    const auto to = lines_.find(flights_.top().datagram.to);
    const std::uint32_t here = to == lines_.end() ? 0 : to->second.first;
    if (!out.empty() && here != node) break;
    node = here;
    out.push_back(flights_.top().datagram);
    flights_.pop();
  } while (gather && !flights_.empty() && flights_.top().arrives == at && out.size() < 64);
  return out;
}

void Network::arrive(std::uint32_t node, std::vector<Crossing> datagrams) {
  if (node == 0) return;
  std::vector<Octets> bytes;  // of each train
  std::vector<forwarder::Datagrams> trains;
  bool closed = false;  // a short datagram ends its train
  for (const Crossing& d : datagrams) {
    const auto line = lines_.at(d.to).second;
    if (!trains.empty() && !closed && trains.back().remote == d.from && trains.back().line == line &&
        d.traffic_class == trains.back().traffic_class && d.bytes.size() <= trains.back().segment_bytes) {
      closed = d.bytes.size() < trains.back().segment_bytes;
      bytes.back().insert(bytes.back().end(), d.bytes.begin(), d.bytes.end());
      continue;
    }
    closed = false;
    bytes.push_back(d.bytes);
    forwarder::Datagrams train;
    train.segment_bytes = d.bytes.size();
    train.remote = d.from;
    train.line = line;
    train.traffic_class = d.traffic_class;
    trains.push_back(train);
  }
  for (std::size_t i = 0; i < trains.size(); ++i) trains[i].bytes = bytes[i];
  at(node).on_datagrams(trains, now_);
  collect(node);
}

void Network::run_until(base::Time until) {
  for (;;) {
    // The earliest of an arrival and any timer.
    base::Time next = until;
    std::uint32_t timer_node = 0;
    for (auto& [id, node] : nodes_)
      if (const base::Time t = std::max(node.forwarder->next_timeout(), now_); t < next) {
        next = t;
        timer_node = id;
      }
    const bool flight = !flights_.empty() && flights_.top().arrives <= next;
    if (flight) next = std::max(now_, flights_.top().arrives);
    if (!flight && timer_node == 0) break;
    now_ = next;
    if (flight) {
      std::uint32_t node = 0;
      auto datagrams = take_arrivals(node);
      arrive(node, std::move(datagrams));
      const bool more = !flights_.empty() && flights_.top().arrives <= now_;
      if (node != 0 && !more) {
        at(node).on_drained(now_);
        collect(node);
      }
    } else {
      auto& f = at(timer_node);
      f.set_unix_time(
          unix_start_ +
          static_cast<std::uint64_t>(
              std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count() - 3600));
      f.on_drained(now_);
      f.on_timer(now_);
      collect(timer_node);
    }
  }
  now_ = until;
}

std::string Network::drops_text(std::uint32_t node) {
  std::string out;
  for (std::size_t i = 0; i < packet::kDropReasonCount; ++i) {
    const auto reason = static_cast<packet::DropReason>(i);
    if (const auto n = at(node).drops()[reason]; n != 0)
      out += std::string(packet::to_string(reason)) + '=' + std::to_string(n) + ' ';
  }
  return out;
}

}  // namespace qanat::test
