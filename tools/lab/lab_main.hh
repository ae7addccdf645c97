// `qanat lab …`, `qanat fault …` and `qanat up` as functions of their arguments, for the one command line.
// argv[0] is the verb's own name; they return the exit statuses of seams.md §1.
#pragma once

namespace qanat::lab {

int lab_main(int argc, char** argv);
int fault_main(int argc, char** argv);
int up_main(int argc, char** argv);

}  // namespace qanat::lab
