// Leveller: takes one demand out and puts it back over its paths, level: no path is used above the utilisation at which they
// hold it together. Where it was before is one of the ways it could be put back, so that is never more than the fullest of
// its resources was. One demand after the other, repeated, it is a descent on the utilisations (SSDO, arXiv 2504.04027).
#pragma once

#include <cstdint>
#include <vector>

#include "controller/te/layout.hh"

namespace qanat::te {

class Leveller {
 public:
  // On `flow` (by path) and `load` (by the layout's resources). All outlive it.
  Leveller(const Layout& layout, std::vector<double>& flow, std::vector<double>& load);

  // How full the fullest resource is.
  double fullest() const;
  // A path's flow is this now.
  void move(Layout::PathIndex path, double flow);
  // Leaves a demand alone that has but one path, or is on nothing as full as `least`.
  void level(std::uint32_t demand, double least);

 private:
  using PathIndex = Layout::PathIndex;
  // A demand's resources by which of its paths go over them: what all of a group have left is the least that one has.
  struct Group {
    std::uint64_t paths;  // a bit each
    std::uint32_t begin;  // in own_, up to the next one's
  };
  void group(std::uint32_t demand);
  double take_out(std::uint32_t demand);
  double offer(double utilisation);
  template <typename Each>
  void groups_of(std::size_t path, Each&& each) const {  // of those that are out
    for (std::uint32_t at = over_begin_[first_ + path]; at < over_end_[first_ + path]; ++at) each(over_[at]);
  }

  const Layout& layout_;
  std::vector<double>&flow_, &load_;
  std::vector<double> inverse_;  // 1 / capacity

  // ---- what has been grouped so far; a demand's when it is first levelled ----
  std::vector<Group> groups_;
  std::vector<std::uint32_t> groups_begin_,
      groups_end_;  // by demand; the one at the end only says where the last ends
  std::vector<Resource> own_;
  std::vector<double> limit_;        // their capacities
  std::vector<std::uint32_t> over_;  // the groups that paths go over, from the demand's first
  std::vector<std::uint32_t> over_begin_, over_end_;  // by path

  // ---- the demand that is taken out ----
  PathIndex first_ = 0;
  const Group* group_ = nullptr;
  std::size_t groups_out_ = 0;
  std::vector<double> others_;  // what others load its resources with
  std::vector<double> room_;    // by group: what is left
  std::vector<double> share_;   // by path: what it took of it
  std::vector<double> best_;    // the same at the lowest utilisation at which all of it fits

  // ---- while a demand's resources are grouped ----
  std::vector<std::uint64_t> met_by_;  // by resource: the paths that go over it
  std::vector<std::uint32_t> next_;    // by group
};

}  // namespace qanat::te
