import { describeDriver } from "../../transport/drivers-under-test.ts";

describeDriver("hybrid");
