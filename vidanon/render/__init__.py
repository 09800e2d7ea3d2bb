"""From settled faces to the pixels that cover them.

align (crop and back), mask (what is face), identity (key and name to latent), generate (the network), blend (colour
and warp back), cover (blur, mosaic, solid), compose (`FaceRenderer`, which uses them all). Import from the modules:
only generate needs torch.
"""
