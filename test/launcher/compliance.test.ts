/** The one suite of the seam, against AWS's tool (a stand-in), mock mode, and the emulator's supervision (stand-ins). */
import { emulatedLauncher, mockImage, mockLauncher, nitroLauncher, plainImage, scratch } from "./fixture.ts";
import { describeLauncher } from "./suite.ts";

describeLauncher("mock", async () => {
  const folder = await scratch();
  const [image, foreign] = [await mockImage(folder), await plainImage(folder, "cloister.platform=emulated")];
  return { launcher: await mockLauncher(), image, foreign, trust: "mock" };
});

describeLauncher("nitro, with a stand-in for nitro-cli", async () => {
  const folder = await scratch();
  const { launcher } = await nitroLauncher();
  return { launcher, image: await plainImage(folder), foreign: await mockImage(folder), trust: "aws" };
});

describeLauncher("emulated, with stand-ins for QEMU", async () => {
  const folder = await scratch();
  const [image, foreign] = [await plainImage(folder), await mockImage(folder)];
  return { launcher: await emulatedLauncher(), image, foreign, trust: "mock" };
});
