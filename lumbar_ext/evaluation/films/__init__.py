"""How a network does on a folder of real films whose vertebrae somebody has marked."""
